"""Ranged files behave like ordinary ones and ask for little."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import StorageUnavailable
from tasks.engine.source import RangedFile

BODY = bytes(i * 7 % 251 for i in range(1000))


@dataclass
class Memory:
    """A range source over bytes that notes what was asked for."""

    body: bytes
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.body)

    def read(self, start: int, length: int) -> bytes:
        self.asked.append((start, length))
        assert length > 0
        assert start + length <= len(self.body)
        return self.body[start : start + length]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 400)),
        st.tuples(st.just("set"), st.integers(0, 1200)),
        st.tuples(st.just("end"), st.integers(-1000, 50)),
        st.tuples(st.just("skip"), st.integers(0, 300)),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(steps=steps, block=st.integers(1, 300), cached=st.integers(1, 5), buffered=st.booleans())
def test_every_read_and_seek_is_that_of_a_plain_file(
    steps: list[tuple[str, int]], block: int, cached: int, buffered: bool
) -> None:
    """Any mix of reads and seeks gives the bytes and offsets that a file in memory gives."""
    ranged = RangedFile(Memory(BODY), block=block, cached_blocks=cached)
    tested = io.BufferedReader(ranged, 64) if buffered else io.BufferedReader(ranged, 1)
    plain = io.BytesIO(BODY)
    whence = {"set": io.SEEK_SET, "end": io.SEEK_END, "skip": io.SEEK_CUR}
    for verb, amount in steps:
        if verb == "read":
            assert plain.read(amount) == tested.read(amount)
        else:
            assert plain.seek(amount, whence[verb]) == tested.seek(amount, whence[verb])
        assert plain.tell() == tested.tell()


def test_reading_on_doubles_what_is_asked_for() -> None:
    """Reading from start to end needs few, growing requests, up to a bound, and no byte twice."""
    source = Memory(bytes(100 * 10))
    file = RangedFile(source, block=10, cached_blocks=64)
    while file.read(10):
        pass
    lengths = [length for _, length in source.asked]
    assert [10, 20, 40, 80, 160, 160] == lengths[:6]
    assert sum(lengths) == 1000


def test_scattered_reads_cost_one_block_each() -> None:
    """A jump resets the read-ahead."""
    source = Memory(bytes(1000))
    file = RangedFile(source, block=10)
    for offset in (500, 100, 900, 300):
        file.seek(offset)
        file.read(5)
    assert [(500, 10), (100, 10), (900, 10), (300, 10)] == source.asked


def test_cached_blocks_are_not_asked_for_again() -> None:
    """Going back within the cache costs nothing; the oldest block is the one forgotten."""
    source = Memory(bytes(100))
    file = RangedFile(source, block=10, cached_blocks=2)
    for offset in (0, 50, 0, 80, 0):
        file.seek(offset)
        file.read(1)
    assert [(0, 10), (50, 10), (80, 10)] == source.asked


def test_reading_beyond_the_end_gives_nothing_and_asks_for_nothing() -> None:
    """The end is the end, also after seeking past it."""
    source = Memory(BODY)
    file = RangedFile(source, block=100)
    file.seek(5000)
    assert b"" == file.read(10)
    assert [] == source.asked


def test_an_empty_source_is_an_empty_file() -> None:
    """Zero bytes can be opened and read."""
    assert b"" == RangedFile(Memory(b"")).read()


def test_a_position_before_the_start_is_refused() -> None:
    """Seeking to a negative offset is the error that it is for any file."""
    with pytest.raises(ValueError, match="negative"):
        RangedFile(Memory(BODY)).seek(-1)


def test_closing_tells_the_owner_once() -> None:
    """The source is released exactly once, however often the file is closed."""
    closed: list[str] = []
    file = RangedFile(Memory(BODY), on_close=lambda: closed.append("closed"))
    file.close()
    file.close()
    assert ["closed"] == closed
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_a_failing_source_fails_the_read() -> None:
    """An error of the source reaches the reader as it is, never as an early end."""

    class Broken(Memory):
        def read(self, start: int, length: int) -> bytes:
            raise StorageUnavailable("gone")

    with pytest.raises(StorageUnavailable, match="gone"):
        io.BufferedReader(RangedFile(Broken(BODY))).read()
