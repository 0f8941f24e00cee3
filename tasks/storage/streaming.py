"""Take a large object off the network, going on where a broken connection left off.

The cloud's module says how to stream from an offset; here is what "whole" means: exactly as
many bytes as the object has, or no file at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.domain.errors import StorageUnavailable
from tasks.domain.video import printable
from tasks.storage import atomic
from tasks.storage.os_errors import translated

# Attempts in a row that brought nothing.
_MOST_FRUITLESS = 3


def download_to(target: Path, size: int, stream: Callable[[int], Iterator[bytes]]) -> None:
    """Fill ``target`` with exactly ``size`` bytes; it appears only when it is whole.

    The folder is made where needed. A stream that breaks is resumed at the byte it reached.

    Args:
        stream: Yields the bytes from an offset on, of one and the same version of the object.
            Raises ``StorageUnavailable`` when the connection breaks; any other error is final.

    Raises:
        StorageUnavailable: Three attempts in a row brought no byte, or there were too many bytes.
    """

    def fill(descriptor: int) -> None:
        reached = 0
        for piece in _resumed(size, stream):
            reached += len(piece)
            if reached > size:
                raise StorageUnavailable(f"more than the {size} bytes of {printable(target.name)} came")
            atomic.write_all(descriptor, piece)

    with translated("write", str(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic.place(atomic.stage(str(target.parent), fill), str(target))


def _resumed(size: int, stream: Callable[[int], Iterator[bytes]]) -> Iterator[bytes]:
    position = fruitless = 0
    while position < size:
        before = position
        problem = StorageUnavailable(f"the object ended at byte {position} of {size}")
        try:
            for piece in stream(position):
                position += len(piece)
                yield piece
        except StorageUnavailable as error:
            problem = error
        fruitless = 0 if position > before else fruitless + 1
        if fruitless == _MOST_FRUITLESS:
            raise problem from None
