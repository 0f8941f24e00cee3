"""Changing a shared document."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import stamina

from tasks.domain.errors import PreconditionFailed
from tasks.sinks.swap import swap
from tasks.storage.base import Storage
from tasks.storage.local import LocalStorage
from tests.contracts.memory_storage import MemoryStorage, contents


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return MemoryStorage() if request.param == "memory" else LocalStorage(tmp_path / "out", create=True)


@pytest.fixture
def no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


def append(store: Storage, text: bytes) -> None:
    swap(store, "doc", lambda there: (there or b"") + text, content_type="text/plain")


def test_changes_build_on_each_other(store: Storage) -> None:
    """The first creates the document."""
    append(store, b"a")
    append(store, b"b")

    assert {"doc": b"ab"} == contents(store)


def test_changes_at_the_same_time_are_all_made(store: Storage) -> None:
    """Twelve threads, each adds its letter once."""
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda letter: append(store, letter.encode()), "abcdefghijkl"))

    assert b"abcdefghijkl" == bytes(sorted(store.read("doc")))


def test_nothing_is_written_when_nothing_changes(store: Storage) -> None:
    """Neither a new document nor a new version."""
    swap(store, "doc", lambda there: None, content_type="text/plain")
    assert {} == contents(store)

    append(store, b"a")
    before = store.stat("doc")
    swap(store, "doc", lambda there: None, content_type="text/plain")
    assert before == store.stat("doc")


def test_a_document_that_vanishes_is_made_anew() -> None:
    """Deleted between stat and read: there is none, and a write expects none."""

    class Vanishing(MemoryStorage):
        def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
            self.delete(key)
            return super().read(key, start, length)

    store = Vanishing()
    store.write("doc", b"old")

    append(store, b"new")

    assert b"new" == MemoryStorage.read(store, "doc")


def test_it_gives_up_when_others_are_always_faster(no_waiting: None) -> None:
    """As a retryable error; theirs is kept."""
    store = MemoryStorage()

    def be_faster(key: str) -> None:
        store.before_write = lambda key: None
        store.write(key, b"theirs")
        store.before_write = be_faster

    store.before_write = be_faster

    with pytest.raises(PreconditionFailed):
        append(store, b"ours")

    assert b"theirs" == store.read("doc")
