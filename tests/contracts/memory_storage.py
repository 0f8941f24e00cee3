"""A store in memory: the whole Storage protocol, fast, and with switches to make it fail."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.domain.errors import KeyUnsafe, NotSignable, ObjectMissing, PreconditionFailed, StorageUnavailable
from tasks.domain.video import SignedUrl
from tasks.storage.base import ObjectInfo, Storage
from tasks.storage.content import same_version

_MODIFIED = datetime(2026, 5, 1, tzinfo=UTC)


class MemoryStorage:
    """Objects in a dict; versions count up and never come back.

    Attributes:
        before_write: Called with the key before each write, outside the lock: the place to let
            somebody else be faster.
    """

    def __init__(self, root: str = "mem://box/") -> None:
        self._root = root
        self._objects: dict[str, tuple[str, bytes]] = {}
        self._writes = 0
        self._lock = threading.Lock()
        self.before_write: Callable[[str], None] = lambda key: None

    @property
    def root(self) -> str:
        return self._root

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        with self._lock:
            infos = [self._info(key) for key in sorted(self._objects) if key.startswith(prefix)]
        yield from infos

    def stat(self, key: str) -> ObjectInfo:
        with self._lock:
            return self._info(key)

    def content_hash(self, key: str, version: str) -> str:
        with self._lock:
            same_version(self._info(key), version)
            return f"md5:{hashlib.md5(self._objects[key][1]).hexdigest()}"

    def sign(self, key: str, lifetime: timedelta, version_id: str = "") -> SignedUrl:
        _check(key)
        raise NotSignable(f"{key} is in memory")

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        with self._lock:
            self._info(key)
            data = self._objects[key][1]
        return data[start:] if length is None else data[start : start + length]

    def download(self, key: str, target: Path) -> None:
        data = self.read(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def write(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_match: str | None = None
    ) -> str:
        _check(key)
        self.before_write(key)
        with self._lock:
            there = self._objects.get(key, ("", b""))[0]
            if if_match is not None and if_match != there:
                raise PreconditionFailed(f"{key} is {there!r}, not {if_match!r}")
            self._writes += 1
            self._objects[key] = (str(self._writes), bytes(data))
            return self._objects[key][0]

    def upload(self, key: str, source: Path, *, content_type: str = "application/octet-stream") -> str:
        return self.write(key, source.read_bytes(), content_type=content_type)

    def write_many(self, items: Iterator[tuple[str, bytes]], *, content_type: str) -> int:
        return sum(1 for key, data in items if self.write(key, data, content_type=content_type))

    def delete(self, key: str) -> None:
        _check(key)
        with self._lock:
            self._objects.pop(key, None)

    def check_write(self) -> bool:
        return True

    def _info(self, key: str) -> ObjectInfo:
        _check(key)
        if key not in self._objects:
            raise ObjectMissing(f"{self._root}{key} is not there")
        version, data = self._objects[key]
        return ObjectInfo(key, self._root + key, version, len(data), _MODIFIED)


def _check(key: str) -> None:
    if not key or "\0" in key or any(segment in (".", "..") for segment in key.split("/")):
        raise KeyUnsafe(f"{key!r} would leave the root")


class FailingStorage:
    """Any store that dies after a number of changes, as a process or a network does.

    Args:
        inner: Where the changes that still succeed go.
        changes: Writes, uploads and deletes that succeed; every later one raises.
    """

    def __init__(self, inner: Storage, changes: int) -> None:
        self._inner = inner
        self._left = changes
        self.root = inner.root
        self.list = inner.list
        self.stat = inner.stat
        self.content_hash = inner.content_hash
        self.sign = inner.sign
        self.read = inner.read
        self.download = inner.download
        self.check_write = inner.check_write

    @property
    def survived(self) -> bool:
        """True if there was no change too many."""
        return self._left >= 0

    def write(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_match: str | None = None
    ) -> str:
        self._count()
        return self._inner.write(key, data, content_type=content_type, if_match=if_match)

    def upload(self, key: str, source: Path, *, content_type: str = "application/octet-stream") -> str:
        self._count()
        return self._inner.upload(key, source, content_type=content_type)

    def write_many(self, items: Iterator[tuple[str, bytes]], *, content_type: str) -> int:
        return sum(1 for key, data in items if self.write(key, data, content_type=content_type))

    def delete(self, key: str) -> None:
        self._count()
        self._inner.delete(key)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise StorageUnavailable("the store is gone")


def contents(store: Storage) -> dict[str, bytes]:
    """Everything in a store, by key."""
    return {item.key: store.read(item.key) for item in store.list()}
