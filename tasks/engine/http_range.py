"""Videos behind http(s) URLs, read by ranges, with retries and without leaks.

A URL here usually carries a signature in its query: exceptions, reprs and the HTTP library's
own log lines show scheme, host and path only.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import httpx
import stamina

from tasks.domain.errors import (
    AccessDenied,
    InputInvalid,
    ObjectMissing,
    Permanent,
    PreconditionFailed,
    StorageUnavailable,
    VideoTooLarge,
)
from tasks.domain.video import printable
from tasks.engine.source import BLOCK_BYTES, open_source

LONGEST_WAIT_S = 30.0


class RangesIgnored(Permanent):
    """The server answers a range request with the whole object."""

    code = "ranges_ignored"


class _QueriesHidden(logging.Filter):
    """Cuts the query, and thereby the signature, from the URLs that httpx logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_shown(a) if isinstance(a, httpx.URL) else a for a in record.args)
        return True


_QUERIES_HIDDEN = _QueriesHidden()


def _shown(url: str | httpx.URL) -> str:
    """Scheme, host and path: what may be shown of a URL."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "a malformed URL"
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    port = f":{parsed.port}" if parsed.port else ""
    return printable(f"{parsed.scheme}://{host}{port}{parsed.path}")


def _retry(error: Exception) -> bool | float:
    """Whether to try again: how the retrying library asks; a number is a wait in seconds."""
    if not isinstance(error, StorageUnavailable):
        return False
    return True if error.retry_after_s is None else min(error.retry_after_s, LONGEST_WAIT_S)


class _Remote:
    """One URL, its client, and the translation of all that can go wrong with it."""

    def __init__(self, url: str, client: httpx.Client | None, timeout_s: float, attempts: int) -> None:
        logging.getLogger("httpx").addFilter(_QUERIES_HIDDEN)
        self.name = _shown(url)
        self._url = url
        self._owned = client is None
        self._client = client or httpx.Client()
        self._timeout_s = timeout_s
        self._attempts = attempts

    def close(self) -> None:
        if self._owned:
            self._client.close()

    def attempts(self) -> Iterator[stamina.Attempt]:
        return iter(stamina.retry_context(on=_retry, attempts=self._attempts, timeout=None))

    @contextmanager
    def get(self, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Yield the open answer to one GET: 200, 206 or 416; everything else raises."""
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            with self._client.stream(
                "GET", self._url, headers=headers, timeout=self._timeout_s, follow_redirects=True
            ) as response:
                self._check(response)
                yield response
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise InputInvalid(f"cannot fetch {self.name}: {type(error).__name__}") from None
        except httpx.HTTPError as error:
            raise StorageUnavailable(f"reading {self.name} failed: {type(error).__name__}") from None

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (200, 206, 416):
            return
        if status in (404, 410):
            raise ObjectMissing(f"{self.name} is not there (HTTP {status})")
        if status in (408, 425, 429) or status >= 500 or status < 400:
            after = response.headers.get("Retry-After", "")
            raise StorageUnavailable(
                f"{self.name} answered HTTP {status}", retry_after_s=float(after) if after.isdigit() else None
            )
        raise AccessDenied(
            f"{self.name} may not be read (HTTP {status})",
            hint="the signed URL has expired or its signature does not match; sign a new one",
        )


class HttpRange:
    """A `RangeSource` over one http(s) URL; every range is retried until it is whole.

    The first block is read at once: it tells the size, and whether URL and server are usable.

    Args:
        url: Used byte for byte.
        client: Connection pool to use; without one, an own pool that `close` closes.
        timeout_s: Patience with each connect and each read, in seconds.
        attempts: Requests per range, the first included.
        max_bytes: Refuse larger objects.

    Raises:
        ObjectMissing: 404 or 410.
        AccessDenied: Any other 4xx: most often a signature that has expired.
        StorageUnavailable: Errors on the server's side or of the network outlasted the attempts.
        VideoTooLarge: The object is larger than ``max_bytes``.
        PreconditionFailed: The object was overwritten while it was being read.
        RangesIgnored: The server knows no ranges; `open_url` copes with that.
        InputInvalid: Not an http(s) URL.
    """

    def __init__(
        self,
        url: str,
        *,
        client: httpx.Client | None = None,
        timeout_s: float = 30.0,
        attempts: int = 5,
        max_bytes: int | None = None,
    ) -> None:
        self._remote = _Remote(url, client, timeout_s, attempts)
        self._size = -1
        self._etag = ""
        self._head = b""
        try:
            self._head = self._fetch(0, BLOCK_BYTES)
            _refuse_if_larger(self._size, max_bytes, self._remote.name)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"HttpRange({self._remote.name!r})"

    @property
    def size(self) -> int:
        """Total bytes, as the first answer gave them."""
        return self._size

    def read(self, start: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``start``; raises as the class says."""
        if start + length <= len(self._head):
            return self._head[start : start + length]
        return self._fetch(start, length)

    def close(self) -> None:
        """Close the connections, unless the client was given."""
        self._remote.close()

    def _fetch(self, start: int, length: int) -> bytes:
        buffer = bytearray()
        for attempt in self._remote.attempts():
            with attempt:
                length = self._receive(start, length, buffer)
        return bytes(buffer)

    def _receive(self, start: int, length: int, buffer: bytearray) -> int:
        """Append what is missing of the range; return its length, cut at the object's end."""
        first = start + len(buffer)
        with self._remote.get({"Range": f"bytes={first}-{start + length - 1}"}) as response:
            length = min(length, self._total(response, first) - start)
            for chunk in response.iter_raw():
                buffer += chunk[: length - len(buffer)]
        if len(buffer) < length:
            raise StorageUnavailable(f"{self._remote.name} sent {len(buffer)} of {length} bytes from {start}")
        return length

    def _total(self, response: httpx.Response, first: int) -> int:
        """Object size according to the answer, which must be the range asked for, of the same object."""
        name, status = self._remote.name, response.status_code
        stated = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", stated)
        if first == 0 and (status == 416 or response.headers.get("Content-Length") == "0"):
            total = 0  # nothing has no ranges: stores answer 416, or 200 with an empty body
        elif status == 200:
            raise RangesIgnored(f"{name} is on a server that ignores Range requests")
        elif status == 206 and (match is None or int(match[1]) != first):
            raise StorageUnavailable(f"{name} answered with range {printable(stated)!r}, not from byte {first}")
        else:
            total = int(match[2]) if match else 0
        etag = response.headers.get("ETag", "")
        if self._size < 0:
            self._size, self._etag = total, etag
        if (total, etag) != (self._size, self._etag):
            raise PreconditionFailed(f"{name} was overwritten while it was being read")
        return total


def open_url(
    url: str,
    *,
    client: httpx.Client | None = None,
    timeout_s: float = 30.0,
    attempts: int = 5,
    max_bytes: int | None = None,
) -> BinaryIO:
    """Open an http(s) URL as a seekable binary file; raises as `HttpRange` does.

    From a server that ignores ranges, the object is first copied into an anonymous temporary file.
    """
    try:
        source = HttpRange(url, client=client, timeout_s=timeout_s, attempts=attempts, max_bytes=max_bytes)
    except RangesIgnored:
        return _copied(_Remote(url, client, timeout_s, attempts), max_bytes)
    return open_source(source, on_close=source.close)


def _copied(remote: _Remote, max_bytes: int | None) -> BinaryIO:
    target = tempfile.TemporaryFile(prefix="reelroute-")  # noqa: SIM115 - handed to the caller
    try:
        for attempt in remote.attempts():
            with attempt, remote.get({}) as response:
                target.seek(0)
                target.truncate()
                for chunk in response.iter_raw():
                    target.write(chunk)
                    _refuse_if_larger(target.tell(), max_bytes, remote.name)
    except BaseException:
        target.close()
        raise
    finally:
        remote.close()
    target.seek(0)
    return cast(BinaryIO, target)


def _refuse_if_larger(size: int, max_bytes: int | None, name: str) -> None:
    if max_bytes is not None and size > max_bytes:
        raise VideoTooLarge(f"{name} has {size:,} bytes or more; at most {max_bytes:,} are taken")
