"""Many small objects are written as they are named, and the SDK has the last word."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import obstore
import pytest
from obstore.store import MemoryStore, S3Store

from tasks.domain.errors import AccessDenied, KeyUnsafe
from tasks.storage.small_objects import client_options, write_all
from tests.contracts.storage_keys import SPECIAL_KEYS


class Sdk:
    """Stands for the cloud's SDK: remembers what it was asked to write."""

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}

    def write(self, key: str, data: bytes) -> None:
        self.written[key] = data


def stored(store: MemoryStore) -> dict[str, bytes]:
    return {
        meta["path"]: bytes(obstore.get(store, meta["path"]).bytes()) for batch in obstore.list(store) for meta in batch
    }


def test_plain_names_go_fast_and_the_others_through_the_sdk() -> None:
    """Every special key is written exactly once, under its own name."""
    store, sdk = MemoryStore(), Sdk()
    items = {key: key.encode() for key in SPECIAL_KEYS}
    assert len(items) == write_all(store, iter(items.items()), prefix="r/", content_type="text/plain", by_sdk=sdk.write)
    fast = {path.removeprefix("r/"): data for path, data in stored(store).items()}
    assert items == fast | sdk.written
    assert {"tab\tand\nnewline.mp4", "double//slash.mp4", "/leading-slash.mp4", "trailing-slash/"} == set(sdk.written)


def test_a_prefix_that_is_no_plain_path_goes_through_the_sdk() -> None:
    """The whole name counts, not only the key below the root."""
    store, sdk = MemoryStore(), Sdk()
    write_all(store, iter([("key", b"x")]), prefix="a//b/", content_type="text/plain", by_sdk=sdk.write)
    assert ({}, {"key": b"x"}) == (stored(store), sdk.written)


def test_the_content_type_is_set() -> None:
    """What is written says what it is."""
    store = MemoryStore()
    write_all(store, iter([("a.json", b"{}")]), prefix="", content_type="application/json", by_sdk=Sdk().write)
    assert "application/json" == obstore.get(store, "a.json").attributes["Content-Type"]


def nowhere() -> S3Store:
    """A store at an address where nobody listens."""
    return S3Store(
        "bucket",
        endpoint="http://127.0.0.1:1",
        access_key_id="k",
        secret_access_key="s",
        region="us-east-1",
        client_options=client_options(plain_http=True),
        retry_config={"max_retries": 0},
    )


def test_what_obstore_fails_at_is_tried_by_the_sdk() -> None:
    """A failure is settled, or explained, by the SDK."""
    sdk = Sdk()
    assert 3 == write_all(
        nowhere(), ((f"{n}", b"x") for n in range(3)), prefix="", content_type="text/plain", by_sdk=sdk.write
    )
    assert {"0", "1", "2"} == set(sdk.written)


def test_the_sdks_error_ends_the_batch() -> None:
    """The first failure comes through as the SDK words it, and later items are not begun."""
    begun: list[int] = []

    def items() -> Iterator[tuple[str, bytes]]:
        for number in range(10_000):
            begun.append(number)
            yield f"{number}", b"x"

    def refuse(key: str, data: bytes) -> None:
        raise AccessDenied(f"no {key}")

    with pytest.raises(AccessDenied):
        write_all(nowhere(), items(), prefix="", content_type="text/plain", by_sdk=refuse)
    assert len(begun) < 10_000


def test_unsafe_keys_are_refused_before_anything_is_sent() -> None:
    """Neither obstore nor the SDK sees a key with dot segments."""
    store, sdk = MemoryStore(), Sdk()
    with pytest.raises(KeyUnsafe):
        write_all(store, iter([("a/../b", b"x")]), prefix="r/", content_type="text/plain", by_sdk=sdk.write)
    assert ({}, {}) == (stored(store), sdk.written)


def test_the_sdk_is_asked_from_several_threads() -> None:
    """Slow names do not wait for one another."""
    together = threading.Barrier(8, timeout=20)
    items = ((f"{number}/", b"x") for number in range(8))
    assert 8 == write_all(
        MemoryStore(), items, prefix="", content_type="text/plain", by_sdk=lambda key, data: together.wait()
    )
