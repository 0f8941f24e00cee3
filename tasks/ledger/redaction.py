"""The last guard against secrets in the ledger: what could grant access is cut before it is stored.

Whoever makes a message keeps secrets out of it; this catches what slipped through.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tasks.domain.job import Failure

# A query as it stands in running text, with or without its URL in front: HTTP libraries quote
# the bare path in their errors. A question mark in a storage key has no "=" behind it.
_QUERY = re.compile(r"\?[^\s?]*=\S*")
_USER_INFO = re.compile(r"(\bhttps?://)[^\s/?#]*@", re.IGNORECASE)
_SERVICE = re.compile(r"([a-z][a-z0-9+.-]*://)?(?:[^/?#]*@)?([^?#]*)", re.IGNORECASE)
_FETCHABLE = re.compile(r"https?:", re.IGNORECASE)


def bare_service(url: str) -> str:
    """Scheme, host, port and path of a service's URL; user info, query and fragment are gone."""
    match = _SERVICE.match(url)
    return f"{match[1] or ''}{match[2]}" if match else ""


def without_grants(text: str) -> str:
    """``text`` with the query and the user info of every URL in it cut away."""
    return _USER_INFO.sub(r"\1", _QUERY.sub("?…", text))


def clean_failure(failure: Failure | None) -> Failure | None:
    """The failure with :func:`without_grants` applied to what people read of it."""
    if failure is None:
        return None
    return replace(failure, message=without_grants(failure.message), hint=without_grants(failure.hint))


def clean_output(uri: str) -> str:
    """An output's URI as it may be stored; a storage URI stays as it is, its key may hold a "?"."""
    return without_grants(uri) if is_fetchable(uri) else uri


def is_fetchable(uri: str) -> bool:
    """Whether the URI is an address to fetch, which may be signed, and no storage URI."""
    return _FETCHABLE.match(uri) is not None
