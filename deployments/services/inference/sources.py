"""What an ``input_url`` may point to, decided when a job is submitted.

A video is one of three: an upload to this service, a file in an allowed folder, or an ``http(s)``
URL. The first two are resolved to a path here and now, so that the job can still be run by
another process, on another port, long after the URL has expired.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from deployments.services.inference.addresses import refuse_private_literal
from deployments.services.inference.signing import UrlSigner
from deployments.services.inference.uploads import Uploads
from tasks.domain.errors import AccessDenied, InputInvalid, ObjectMissing
from tasks.domain.video import printable
from tasks.storage.loopback import URL_PREFIX, verify_file_url

UPLOAD_PREFIX = "/uploads/"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Footage:
    """Where a job's video is: exactly one of the two is given."""

    path: str = ""
    url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port by which a request reached us."""

    host: str
    port: int

    def is_that_of(self, url: SplitResult) -> bool:
        """Whether the URL points to this service."""
        host = (url.hostname or "").lower()
        port = url.port or _DEFAULT_PORTS[url.scheme]
        if port != self.port:
            return False
        return host == self.host or (host in _LOOPBACK_NAMES and self.host in _LOOPBACK_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputResolver:
    """Turns an ``input_url`` into footage, or refuses it."""

    signer: UrlSigner
    uploads: Uploads
    file_secret: bytes = field(repr=False)
    allow_folders: Sequence[Path]
    allow_private: bool

    def resolve(self, input_url: str, own: Sequence[Address], now: datetime) -> Footage:
        """Say where the video is.

        Args:
            own: By which addresses this service is known.

        Raises:
            InputInvalid: It is not a URL that a job can have.
            AccessDenied, KeyUnsafe: The folder or address is not allowed, or a signature of ours is wrong.
            ObjectMissing: It names a file or an upload that is not there.
        """
        url = _split(input_url)
        if url.scheme == "file":
            return Footage(path=self._file(url))
        if any(address.is_that_of(url) for address in own):
            return Footage(path=self._own(url, now))
        if not self.allow_private:
            refuse_private_literal(url.hostname or "")
        return Footage(url=input_url)

    def _own(self, url: SplitResult, now: datetime) -> str:
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        if url.path.startswith(UPLOAD_PREFIX):
            # Whether it has expired does not matter: a large upload may have taken that long.
            self.signer.expiry(url.path, query)
            return str(self.uploads.take(url.path.removeprefix(UPLOAD_PREFIX)))
        if url.path.startswith(URL_PREFIX + "/"):
            return str(verify_file_url(self.file_secret, url.path, query, now, self.allow_folders))
        raise InputInvalid("input_url points to this service, but not to an upload or a file of it")

    def _file(self, url: SplitResult) -> str:
        if url.netloc not in ("", "localhost") or url.query or url.fragment:
            raise InputInvalid("input_url is not a file URL of this machine", hint="write file:///folder/video.mp4")
        name = unquote(url.path, errors="surrogateescape")
        if "\0" in name or not name.startswith("/"):
            raise InputInvalid("input_url holds no usable file name")
        # Symlinks are followed first: it is the real file that must lie in an allowed folder.
        real = Path(os.path.realpath(name))
        if not any(real.is_relative_to(os.path.realpath(folder)) for folder in self.allow_folders):
            raise AccessDenied(
                f"{printable(name)} is not in a folder that this service may read",
                hint="start it with --allow-folder, or upload the video",
            )
        if not real.is_file():
            raise ObjectMissing(
                f"there is no file {printable(name)}", hint="check the path; file URLs are percent-decoded"
            )
        return str(real)


def _split(input_url: str) -> SplitResult:
    """Take a URL apart without changing a byte of it.

    Raises:
        InputInvalid: It is malformed, or of a scheme that we do not fetch.
    """
    # urlsplit would drop some of these silently, and then check another URL than the one fetched.
    if any(character <= " " or character == "\x7f" for character in input_url):
        raise InputInvalid("input_url holds blanks or control characters", hint="percent-encode them")
    try:
        url = urlsplit(input_url)
        port = url.port
    except ValueError:
        raise InputInvalid("input_url is not a URL") from None
    if url.scheme not in ("http", "https", "file"):
        raise InputInvalid(
            f"input_url has the scheme {url.scheme[:20]!r}, which this service cannot fetch",
            hint="give a signed http(s) URL, a file:/// URL of an allowed folder, or upload the video",
        )
    if url.scheme != "file" and (not url.hostname or port == 0):
        raise InputInvalid("input_url names no host")
    return url
