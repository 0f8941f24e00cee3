"""Fetch the small public documents that signatures are checked with, and keep them for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import httpx

from deployments.services.events.refused import Refused

T = TypeVar("T")
Fetch = Callable[[str], bytes]

_LARGEST = 256 * 1024
_TIMEOUT_S = 5.0


def fetch(url: str) -> bytes:
    """GET a document; no redirect is followed.

    Raises:
        Refused: It cannot be had now; whoever asked should try again.
    """
    try:
        with httpx.stream("GET", url, timeout=_TIMEOUT_S, follow_redirects=False) as answer:
            answer.raise_for_status()
            found = b""
            for chunk in answer.iter_bytes():
                found += chunk
                if len(found) > _LARGEST:
                    raise Refused(503, "proof_unavailable", "a document to check signatures with is too large")
            return found
    except (
        httpx.HTTPError,
        httpx.InvalidURL,
        UnicodeError,
    ) as error:  # its text may hold the URL, which may hold a token
        reason = type(error).__name__
        raise Refused(
            503, "proof_unavailable", f"a document to check signatures with is out of reach ({reason})"
        ) from None


class Kept(Generic[T]):
    """Documents by URL, read once an hour; safe to share by threads.

    Args:
        read: Makes something of a document.
        most: How many are kept; the oldest goes first.
    """

    def __init__(
        self, load: Fetch, read: Callable[[bytes], T], clock: Callable[[], datetime], *, most: int = 16
    ) -> None:
        self._load = load
        self._read = read
        self._clock = clock
        self._most = most
        self._kept: dict[str, tuple[datetime, T]] = {}
        self._lock = threading.Lock()

    def get(self, url: str, *, younger_than: timedelta = timedelta(hours=1)) -> T:
        """The document, fetched again if what we have is older.

        Raises:
            Refused: It cannot be had, or makes no sense.
        """
        with self._lock:
            at, found = self._kept.get(url, (None, None))
        if at is not None and found is not None and self._clock() - at < younger_than:
            return found
        # Not under the lock: whoever has what they need does not wait for a fetch. Two of one document do no harm.
        try:
            made = self._read(self._load(url))
        except ValueError:
            raise Refused(503, "proof_unavailable", "a document to check signatures with cannot be read") from None
        with self._lock:
            while len(self._kept) >= self._most and url not in self._kept:
                del self._kept[min(self._kept, key=lambda one: self._kept[one][0])]
            self._kept[url] = self._clock(), made
            return made
