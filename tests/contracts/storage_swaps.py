"""What every store promises of conditional writes."""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.domain.errors import ObjectMissing, PreconditionFailed
from tasks.storage.base import Storage
from tests.contracts.storage_base import StoreUnderTest
from tests.contracts.storage_keys import REWRITERS


class SwapsContract(StoreUnderTest):
    """What every store promises of conditional writes."""

    def test_create_only_if_absent(self, storage: Storage) -> None:
        """``if_match=""`` writes once; the loser changes nothing."""
        storage.write("new", b"mine", if_match="")
        with pytest.raises(PreconditionFailed):
            storage.write("new", b"theirs", if_match="")
        assert b"mine" == storage.read("new")

    def test_replace_only_what_was_read(self, storage: Storage) -> None:
        """A version as ``if_match`` holds for exactly that version, and for no object that is gone."""
        first = storage.write("key", b"1")
        second = storage.write("key", b"2", if_match=first)
        with pytest.raises(PreconditionFailed):
            storage.write("key", b"3", if_match=first)
        assert b"2" == storage.read("key")
        storage.delete("key")
        with pytest.raises(PreconditionFailed):
            storage.write("key", b"4", if_match=second)
        with pytest.raises(ObjectMissing):
            storage.stat("key")

    def test_one_of_many_creators_wins(self, storage: Storage) -> None:
        """Of writers that create one key at once, one succeeds and its bytes stay."""

        def create(number: int) -> bool:
            try:
                storage.write("race", str(number).encode(), if_match="")
            except PreconditionFailed:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(create, range(16)))
        assert 1 == sum(won)
        assert str(won.index(True)).encode() == storage.read("race")

    def test_no_update_is_lost_between_rewriters(self, storage: Storage) -> None:
        """Forty writers that each add themselves to one JSON list all end up in it."""
        storage.write("list.json", b"[]")

        def add(number: int) -> None:
            while True:
                version = storage.stat("list.json").version
                members = json.loads(storage.read("list.json"))
                # One length throughout: size alone must not be what tells versions apart.
                data = json.dumps([*members, number]).ljust(1_000).encode()
                try:
                    storage.write("list.json", data, if_match=version)
                except PreconditionFailed:
                    continue
                return

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(REWRITERS)))
        assert list(range(REWRITERS)) == sorted(json.loads(storage.read("list.json")))

    def test_readers_see_whole_objects(self, storage: Storage) -> None:
        """While an object is rewritten again and again, every read gives one of its contents, whole."""
        contents = {bytes([letter]) * 200_000 for letter in b"ab"}
        storage.write("key", b"a" * 200_000)
        stop = threading.Event()
        seen: list[bytes] = []

        def read() -> None:
            while not stop.is_set():
                seen.append(storage.read("key"))

        reader = threading.Thread(target=read)
        reader.start()
        for data in itertools.islice(itertools.cycle(sorted(contents)), 50):
            storage.write("key", data)
        stop.set()
        reader.join()
        assert seen
        assert set(seen) <= contents
