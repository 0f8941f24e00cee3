"""A download is whole or not there, whatever the connection does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.domain.errors import AccessDenied, ObjectMissing, ReelrouteError, StorageUnavailable
from tasks.storage.streaming import download_to

DATA = bytes(range(256)) * 40


def stream_of(data: bytes, offsets: list[int], cut: Callable[[int], int | None]) -> Callable[[int], Iterator[bytes]]:
    """Stream pieces of 100 bytes; attempt number ``n`` breaks after ``cut(n)`` bytes, or not at all."""

    def stream(start: int) -> Iterator[bytes]:
        offsets.append(start)
        end = cut(len(offsets) - 1)
        part = data[start:] if end is None else data[start : start + end]
        for begin in range(0, len(part), 100):
            yield part[begin : begin + 100]
        if end is not None:
            raise StorageUnavailable("the connection broke")

    return stream


def test_a_broken_stream_goes_on_where_it_ended(tmp_path: Path) -> None:
    """No byte is lost, doubled or asked for again."""
    offsets: list[int] = []
    target = tmp_path / "new/folder/target"
    download_to(target, len(DATA), stream_of(DATA, offsets, lambda number: [1000, 50, 0, 0, 3000, None][number]))
    assert DATA == target.read_bytes()
    assert [0, 1000, 1050, 1050, 1050, 4050] == offsets
    assert [target] == list(target.parent.iterdir())


def test_a_stream_that_ends_early_is_not_taken_for_whole(tmp_path: Path) -> None:
    """An orderly end before the last byte is a break like any other."""
    offsets: list[int] = []

    def stream(start: int) -> Iterator[bytes]:
        offsets.append(start)
        yield DATA[start : start + 5000]

    download_to(tmp_path / "target", len(DATA), stream)
    assert DATA == (tmp_path / "target").read_bytes()
    assert [0, 5000, 10000] == offsets


@pytest.mark.parametrize("size", [0, 1])
def test_the_smallest_objects(tmp_path: Path, size: int) -> None:
    """An empty object is a file too, and needs no stream."""
    download_to(tmp_path / "target", size, lambda start: iter([b"x"]))
    assert b"x" * size == (tmp_path / "target").read_bytes()


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (stream_of(DATA, [], lambda number: 500 if number == 0 else 0), StorageUnavailable),
        (lambda start: iter([]), StorageUnavailable),
        (lambda start: iter([DATA, b"more"]), StorageUnavailable),
    ],
)
def test_what_cannot_be_had_whole_leaves_the_old_file(
    tmp_path: Path, stream: Callable[[int], Iterator[bytes]], problem: type[ReelrouteError]
) -> None:
    """Three tries without a byte, or too many bytes, are failures, and nothing is left of them."""
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with pytest.raises(problem):
        download_to(target, len(DATA), stream)
    assert b"old" == target.read_bytes()
    assert [target] == list(tmp_path.iterdir())


@pytest.mark.parametrize("problem", [ObjectMissing, AccessDenied])
def test_other_errors_are_final(tmp_path: Path, problem: type[ReelrouteError]) -> None:
    """An object that is gone or forbidden is not asked for again."""
    attempts: list[int] = []

    def stream(start: int) -> Iterator[bytes]:
        attempts.append(start)
        yield DATA[:100]
        raise problem("no more")

    with pytest.raises(problem):
        download_to(tmp_path / "target", len(DATA), stream)
    assert [0] == attempts
    assert [] == list(tmp_path.iterdir())
