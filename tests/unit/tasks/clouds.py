"""Clouds in memory, for tests of what is made of a pipeline's stores."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from tasks.domain.errors import ReelrouteError
from tasks.domain.video import SignedUrl
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.contracts.memory_storage import MemoryStorage

SECRET = "X-Amz-Signature=c0ffee"


class MemoryCloud(MemoryStorage):
    """A bucket whose rights and signatures a test decides.

    Attributes:
        refuses: Method name -> what it raises.
        lifetime: How long signed URLs really work, at most.
        base: Where signed URLs lead.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.refuses: dict[str, ReelrouteError] = {}
        self.knows_conditions = True
        self.lifetime = timedelta(days=7)
        self.base = "http://127.0.0.1:9"

    def sign(self, key: str, lifetime: timedelta, version_id: str = "") -> SignedUrl:
        if error := self.refuses.get("sign"):
            raise error
        ends = datetime.now(UTC) + min(lifetime, self.lifetime)
        return SignedUrl(f"{self.base}/{key}?{SECRET}", ends)

    def check_write(self) -> bool:
        if error := self.refuses.get("check_write"):
            raise error
        return self.knows_conditions

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        if error := self.refuses.get("read"):
            raise error
        return super().read(key, start, length)


@dataclass
class Clouds:
    """Every bucket that was opened.

    Attributes:
        opened: (root, options) of each opening, in order.
        buckets: Root -> bucket; one that is not here yet is made when it is opened.
    """

    opened: list[tuple[str, StorageOptions]] = field(default_factory=list)
    buckets: dict[str, MemoryCloud] = field(default_factory=dict)

    def bucket(self, root: str) -> MemoryCloud:
        return self.buckets.setdefault(root, MemoryCloud(root))

    def options(self, root: str) -> StorageOptions:
        """What a root was opened with, the first time."""
        return next(options for uri, options in self.opened if uri == root)


@pytest.fixture
def clouds(monkeypatch: pytest.MonkeyPatch) -> Clouds:
    """All buckets are in memory; folders are what they are."""
    state = Clouds()

    def open_it(uri: str, options: StorageOptions) -> object:
        if uri.startswith("file://"):
            return open_storage(uri, options)
        state.opened.append((uri, options))
        return state.bucket(uri)

    monkeypatch.setattr("tasks.stores.open_storage", open_it)
    return state
