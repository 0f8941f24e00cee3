"""From a URI to a store: the one place that knows which scheme is served by which module.

A new cloud is one module with ``open_uri(uri, options) -> Storage``, one line below, and one in
``config/available.py``, which says how its URIs are written in pipeline files and forms.
Modules are imported when their scheme is first asked for, because cloud SDKs are slow to load.
"""

from __future__ import annotations

import difflib
import importlib
from typing import cast

from tasks.domain.errors import InputInvalid
from tasks.domain.video import printable
from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions

__all__ = ["SCHEMES", "StorageOptions", "open_storage", "split_source_uri"]

SCHEMES = {
    "file": "tasks.storage.local",
    "s3": "tasks.storage.s3",
    "gs": "tasks.storage.gcs",
    "az": "tasks.storage.azure_blob",
}


def open_storage(uri: str, options: StorageOptions | None = None) -> Storage:
    """Open the store whose root is ``uri``; a missing trailing slash is understood.

    Nothing is contacted yet: a root that does not exist shows at the first use.

    Raises:
        InputInvalid: The URI has no scheme, one that nobody serves, or names no container.
    """
    scheme, _ = _split(uri)
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        nearest = difflib.get_close_matches(scheme.lower(), SCHEMES, n=1, cutoff=0.5)
        guess = f"did you mean {nearest[0]}://? " if nearest else ""
        raise InputInvalid(
            f"{printable(uri)} has the unknown scheme {printable(scheme)}://", hint=f"{guess}known schemes: {known}"
        )
    _check_place(uri)
    module = importlib.import_module(SCHEMES[scheme])
    return cast(Storage, module.open_uri(f"{uri.removesuffix('/')}/", options or StorageOptions()))


def split_source_uri(uri: str) -> tuple[str, str]:
    """Split what a source names into the root to open and the prefix to list below it.

    The root goes up to the last slash and the rest is a plain prefix of keys, so that
    ``s3://bucket/2026/match-`` lists ``match-1.mp4`` and ``match-2/a.mp4``. A ``file://`` URI
    always names a folder, with or without its trailing slash.

    Raises:
        InputInvalid: The URI has no scheme or names no container.
    """
    _check_place(uri)
    scheme, rest = _split(uri)
    if scheme == "file" or "/" not in rest:
        return f"{scheme}://{rest.removesuffix('/')}/", ""
    root, _, prefix = rest.rpartition("/")
    return f"{scheme}://{root}/", prefix


def _split(uri: str) -> tuple[str, str]:
    """Cut ``scheme://rest`` apart by hand: keys may hold ``?`` and ``#``, which URL parsers would take away."""
    scheme, separator, rest = uri.partition("://")
    if not separator or not scheme:
        raise InputInvalid(
            f"{printable(uri)!r} has no scheme", hint="write s3://bucket/prefix/, or file:///absolute/folder/"
        )
    return scheme, rest


def _check_place(uri: str) -> None:
    scheme, rest = _split(uri)
    if scheme == "file" and not rest.startswith("/"):
        raise InputInvalid(
            f"{printable(uri)} is not an absolute path", hint=f"a folder has three slashes: file:///{printable(rest)}"
        )
    if (scheme != "file" and rest.startswith("/")) or not rest:
        raise InputInvalid(f"{printable(uri)} names no bucket", hint=f"write {printable(scheme)}://bucket/prefix/")
