"""A ranged object reads and seeks like a file, with few requests and little memory."""

from __future__ import annotations

import io
import os
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.domain.errors import ObjectMissing, StorageUnavailable
from tasks.storage.local import LocalStorage
from tasks.storage.ranged import BLOCK_BYTES, open_ranged
from tests.clips import sample_footage

SIZE = 3 * BLOCK_BYTES + 12_345
DATA = bytes(number * 7 % 251 for number in range(SIZE))


class CountingStorage(LocalStorage):
    """Remembers which ranges were asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ranges: list[tuple[int, int | None]] = []

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        self.ranges.append((start, length))
        return super().read(key, start, length)


@pytest.fixture
def store(tmp_path: Path) -> CountingStorage:
    store = CountingStorage(tmp_path)
    store.write("k", DATA)
    return store


steps = st.lists(
    st.tuples(
        st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END, None]),
        st.integers(-SIZE // 2, SIZE + 100),
        st.integers(0, BLOCK_BYTES * 2),
    ),
    max_size=12,
)


@given(steps=steps)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_behaves_like_a_file(store: CountingStorage, steps: list[tuple[int | None, int, int]]) -> None:
    """Any walk of seeks and reads gives what BytesIO gives."""
    reference = io.BytesIO(DATA)
    with open_ranged(store, "k") as file:
        for whence, offset, length in steps:
            if whence is not None:
                base = {io.SEEK_SET: 0, io.SEEK_CUR: reference.tell(), io.SEEK_END: SIZE}[whence]
                if base + offset < 0:
                    continue
                assert reference.seek(offset, whence) == file.seek(offset, whence)
            assert reference.read(length) == file.read(length)
            assert reference.tell() == file.tell()


def test_reading_all_of_it(store: CountingStorage) -> None:
    """A whole read is whole, in growing pieces: fewer requests than blocks."""
    with open_ranged(store, "k") as file:
        assert DATA == file.read()
    assert len(store.ranges) < -(-SIZE // BLOCK_BYTES)


def test_headers_and_index_cost_few_requests(store: CountingStorage) -> None:
    """Start, end, and back to the start: each block is fetched once."""
    with open_ranged(store, "k") as file:
        file.read(100)
        file.seek(-1_000, io.SEEK_END)
        assert DATA[-1_000:] == file.read()
        file.seek(50)
        assert DATA[50:150] == file.read(100)
    starts = [start for start, _ in store.ranges]
    assert [0, 3 * BLOCK_BYTES] == starts


def test_a_known_size_saves_the_question(store: CountingStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the listing's size no stat is made."""
    monkeypatch.setattr(store, "stat", None)
    with open_ranged(store, "k", SIZE) as file:
        assert DATA[:10] == file.read(10)


def test_memory_is_bounded(tmp_path: Path) -> None:
    """However much is read, a fixed number of blocks is kept."""
    store = LocalStorage(tmp_path)
    (tmp_path / "big").touch()
    size = 200 * BLOCK_BYTES
    os.truncate(tmp_path / "big", size)
    file = open_ranged(store, "big")
    total = 0
    while piece := file.read(1 << 20):
        total += len(piece)
    assert size == total
    blocks = file.raw._blocks  # type: ignore[attr-defined]
    assert sum(map(len, blocks.values())) <= 10 << 20


def test_an_empty_object(store: CountingStorage) -> None:
    """Nothing to read, nothing asked for."""
    store.write("empty", b"")
    with open_ranged(store, "empty") as file:
        assert b"" == file.read()
    assert [] == store.ranges


def test_an_object_that_is_not_there(store: CountingStorage) -> None:
    """Opening says so."""
    with pytest.raises(ObjectMissing):
        open_ranged(store, "absent")


def test_an_object_that_got_shorter(store: CountingStorage) -> None:
    """A change in mid-read is an error, not an early end."""
    with open_ranged(store, "k") as file:
        store.write("k", DATA[: BLOCK_BYTES + 5])
        with pytest.raises(StorageUnavailable, match="shorter"):
            file.read()


def test_seeking_before_the_start(store: CountingStorage) -> None:
    """Refused as files do."""
    with open_ranged(store, "k") as file, pytest.raises(ValueError, match="before"):
        file.seek(-1)


def test_a_demuxer_reads_through_it() -> None:
    """PyAV opens, probes and decodes a real video from it."""
    store = LocalStorage(sample_footage("bikes.mp4").parent)
    with open_ranged(store, "bikes.mp4") as file, av.open(file) as container:
        assert 250 == sum(1 for _ in container.decode(video=0))


def test_errors_come_through_the_demuxer() -> None:
    """A store that fails in mid-file is told as such, not as a broken video."""
    store = LocalStorage(sample_footage("bikes.mp4").parent)
    size = store.stat("bikes.mp4").size
    with (
        open_ranged(store, "bikes.mp4", size + 10_000_000) as file,
        pytest.raises(StorageUnavailable),
        av.open(file) as container,
    ):
        sum(1 for _ in container.decode(video=0))
