"""Signed URLs for files on this machine, so that a folder can be served like a bucket.

Who signs (:class:`FileUrlSigner`) and who serves (the inference service, through
:func:`verify_file_url`) share a secret that is derived from the service's API key. A URL is
``{base}/files{absolute path}?expires={epoch seconds}&signature={hex}``; the path is the file
name's own bytes, percent-encoded, so names that are not UTF-8 work too. The signature is
HMAC-SHA256 over the expiry and the decoded path: it grants reading, whichever way a client
chose to spell the percent-encoding.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from tasks.domain.errors import AccessDenied, KeyUnsafe, ObjectMissing
from tasks.domain.video import SignedUrl, printable

URL_PREFIX = "/files"


def file_url_secret(api_key: str) -> bytes:
    """Derive the signing secret from a service's API key; the key cannot be found from URLs."""
    return hmac.new(api_key.encode(), b"reelroute file urls, version 1", hashlib.sha256).digest()


def sign_file_url(base_url: str, secret: bytes, path: Path, expires_at: datetime) -> str:
    """Make the URL under which the service at ``base_url`` gives out the file at ``path``.

    Args:
        path: Absolute.
        expires_at: Timezone-aware; counts in whole seconds, a fraction is cut off.
    """
    if expires_at.tzinfo is None:
        raise ValueError("expires_at needs a timezone")
    name = os.fsencode(path)
    if not name.startswith(b"/"):
        raise ValueError("path must be absolute")
    expires = str(int(expires_at.timestamp()))
    return (
        f"{base_url.rstrip('/')}{URL_PREFIX}{quote_from_bytes(name)}"
        f"?expires={expires}&signature={_signature(secret, name, expires)}"
    )


def verify_file_url(
    secret: bytes, raw_path: str, query: Mapping[str, str], now: datetime, allowed: Sequence[Path]
) -> Path:
    """Say which file a request may read, with every symlink resolved.

    Args:
        raw_path: The request's path as it came over the wire, still percent-encoded.
        query: Its decoded query parameters.
        now: Timezone-aware.
        allowed: Folders that files may lie in.

    Raises:
        AccessDenied: The signature is missing, wrong or expired.
        KeyUnsafe: The file lies outside of every allowed folder.
        ObjectMissing: There is no such file.
    """
    if not raw_path.startswith(URL_PREFIX + "/"):
        raise KeyUnsafe(f"{printable(raw_path)} is not the path of a file URL")
    name = unquote_to_bytes(raw_path.removeprefix(URL_PREFIX))
    expires = query.get("expires", "")
    given = query.get("signature", "").encode("utf-8", "surrogatepass")
    if not re.fullmatch("[0-9]{1,15}", expires) or not given:
        raise AccessDenied("the file URL is not signed", hint="ask for a signed URL")
    if not hmac.compare_digest(given, _signature(secret, name, expires).encode()):
        raise AccessDenied(
            "the file URL's signature does not match",
            hint="the URL was changed on its way, or signed with another API key than this service's",
        )
    if now.timestamp() >= int(expires):
        raise AccessDenied("the file URL has expired", hint="ask for a fresh URL, or a longer url_lifetime")
    return _resolve(name, allowed)


def _signature(secret: bytes, name: bytes, expires: str) -> str:
    # Digits and a newline first: no file name, newlines included, can make two messages the same.
    return hmac.new(secret, expires.encode() + b"\n" + name, hashlib.sha256).hexdigest()


def _resolve(name: bytes, allowed: Sequence[Path]) -> Path:
    shown = printable(os.fsdecode(name))
    if b"\0" in name:
        raise KeyUnsafe(f"{shown} is no file name")
    real = os.path.realpath(os.fsdecode(name))
    # Before the look at the disk: outside of the allowed folders nobody learns what exists.
    if not any(_inside(real, os.path.realpath(folder)) for folder in allowed):
        raise KeyUnsafe(f"{shown} is not in a folder that this service gives out", hint="allow its folder")
    if not os.path.isfile(real):  # noqa: PTH113 - lone surrogates and long names must not raise here
        raise ObjectMissing(f"there is no file {shown}")
    return Path(real)


def _inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class FileUrlSigner:
    """Signs URLs of files for the service that will give them out.

    Attributes:
        base_url: Where the service answers, such as ``http://127.0.0.1:9001``.
        secret: See :func:`file_url_secret`.
        clock: Gives the time now, timezone-aware.
    """

    base_url: str
    secret: bytes = field(repr=False)
    clock: Callable[[], datetime] = _utc_now

    def sign(self, path: Path, lifetime: timedelta) -> SignedUrl:
        """Make a URL of an absolute path that works for ``lifetime``, cut to a whole second."""
        if lifetime <= timedelta(0):
            raise ValueError("lifetime must be positive")
        expires_at = (self.clock() + lifetime).replace(microsecond=0)
        return SignedUrl(sign_file_url(self.base_url, self.secret, path, expires_at), expires_at)
