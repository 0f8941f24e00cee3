"""What every store promises of many objects: listing, bulk writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.domain.errors import KeyUnsafe
from tasks.storage.base import ObjectInfo, Storage
from tests.contracts.storage_base import StoreUnderTest
from tests.contracts.storage_keys import keys


class ManyContract(StoreUnderTest):
    """What every store promises of many objects: listing, bulk writes."""

    def test_prefixes_are_plain_text(self, storage: Storage) -> None:
        """A prefix selects keys by their beginning, across and inside of folder names."""
        # A store that is a file system cannot hold both "a" and "a/b".
        every = ("a", "a!", "a/b", "a/b/c", "ab/c", "b")
        names = [name for name in every if name not in self.shadowed_keys]
        for name in names:
            storage.write(name, b"x")
        for prefix in ("", "a", "a/", "a/b", "ab", "ab/c", "ab/cd", "b", "zz", "a/b/"):
            expected = sorted(name for name in names if name.startswith(prefix))
            assert expected == sorted(found.key for found in storage.list(prefix)), prefix

    def test_listing_goes_on_past_a_page(self, storage: Storage) -> None:
        """Every one of many objects is listed once, in more than one folder."""
        wanted = {f"{number % 7}/{number:05}.json": str(number).encode() for number in range(self.many)}
        assert self.many == storage.write_many(iter(wanted.items()), content_type="application/json")
        found = list(storage.list())
        assert sorted(wanted) == sorted(each.key for each in found)
        assert {len(data) for data in wanted.values()} == {each.size for each in found}
        assert wanted["3/00003.json"] == storage.read("3/00003.json")

    def test_listing_is_lazy(self, storage: Storage) -> None:
        """A listing can be left after its first object."""
        storage.write_many(((f"{number}", b"x") for number in range(10)), content_type="text/plain")
        listing = storage.list()
        assert isinstance(next(iter(listing)), ObjectInfo)

    def test_write_many_takes_items_as_it_needs_them(self, storage: Storage) -> None:
        """The iterator is never read far ahead of what is written."""
        ahead: list[int] = []

        def items() -> Iterator[tuple[str, bytes]]:
            for number in range(600):
                if number % 100 == 0:
                    ahead.append(number - sum(1 for _ in storage.list()))
                yield f"{number:04}", b"x"

        assert 600 == storage.write_many(items(), content_type="text/plain")
        assert max(ahead) < 300

    def test_write_many_raises_the_first_failure(self, storage: Storage) -> None:
        """A bad key ends the batch with its own error; what was written before is whole."""
        items = [("good", b"x" * 1000), ("a/../b", b"x")]
        with pytest.raises(KeyUnsafe):
            storage.write_many(iter(items), content_type="text/plain")
        assert {1000} >= {found.size for found in storage.list()}

    def test_write_many_passes_on_the_iterators_error(self, storage: Storage) -> None:
        """An error of whoever makes the items comes through, and is not mistaken for the end."""

        def items() -> Iterator[tuple[str, bytes]]:
            yield "first", b"x"
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            storage.write_many(items(), content_type="text/plain")

    def test_write_many_of_nothing(self, storage: Storage) -> None:
        """No items, no objects."""
        assert 0 == storage.write_many(iter(()), content_type="text/plain")

    @given(names=st.sets(keys, min_size=1, max_size=8), data=st.binary(max_size=50))
    @settings(
        max_examples=30,
        deadline=None,
        # Several stores inherit this test; each tries its own examples.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.differing_executors,
        ],
    )
    def test_any_names_round_trip(self, storage: Storage, names: set[str], data: bytes) -> None:
        """Whatever a set of keys looks like: what is written is listed and read, nothing else."""
        for found in list(storage.list()):
            storage.delete(found.key)
        written = set()
        for name in names:
            try:
                storage.write(name, data)
            except KeyUnsafe:
                continue
            written.add(name)
        assert written == {found.key for found in storage.list()}
        for name in written:
            assert data == storage.read(name)

    def test_asking_for_the_right_to_write_writes_nothing(self, storage: Storage) -> None:
        """A store that can be written says so by not complaining, and stays as empty as it was."""
        storage.check_write()
        assert [] == list(storage.list())
        storage.write("there", b"x")
        storage.check_write()
        assert ["there"] == [found.key for found in storage.list()]
