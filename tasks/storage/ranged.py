"""Read an object like a seekable file, a few blocks at a time.

For looking into a video's headers without downloading it: demuxers jump to the index at the
end and back, so the last blocks are kept, and reading on fetches ever larger pieces.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import TYPE_CHECKING, BinaryIO, cast

from tasks.domain.errors import StorageUnavailable
from tasks.domain.seekable import SeekableFile
from tasks.domain.video import printable
from tasks.storage.base import Storage

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 256 * 1024
_MOST_AHEAD = 16  # blocks in one request when reading on and on: 4 MiB
_KEPT = 2 * _MOST_AHEAD


def open_ranged(storage: Storage, key: str, size: int | None = None) -> BinaryIO:
    """Open an object for reading and seeking; memory stays under 10 MiB whatever its size.

    Args:
        size: Its size in bytes where the caller knows it, which saves a request.

    Raises:
        ObjectMissing: Nothing is there. Reading raises the errors of :meth:`Storage.read`, and
            ``StorageUnavailable`` when the object got shorter meanwhile.
    """
    raw = _Blocks(storage, key, storage.stat(key).size if size is None else size)
    return cast(BinaryIO, io.BufferedReader(raw, 64 * 1024))


class _Blocks(SeekableFile):
    def __init__(self, storage: Storage, key: str, size: int) -> None:
        super().__init__(size)
        self._storage, self._key = storage, key
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._ahead = 1
        self._next = 0  # the block after the last fetched one

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._position >= self._size:
            return 0
        view = memoryview(buffer).cast("B")
        index, offset = divmod(self._position, BLOCK_BYTES)
        piece = self._block(index)[offset : offset + len(view)]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _block(self, index: int) -> bytes:
        if index not in self._blocks:
            self._ahead = min(2 * self._ahead, _MOST_AHEAD) if index == self._next else 1
            self._fetch(index, self._ahead)
        self._blocks.move_to_end(index)
        return self._blocks[index]

    def _fetch(self, index: int, count: int) -> None:
        start = index * BLOCK_BYTES
        wanted = min(count * BLOCK_BYTES, self._size - start)
        data = self._storage.read(self._key, start, wanted)
        if len(data) != wanted:
            raise StorageUnavailable(f"{printable(self._key)} got shorter while it was read")
        for number, offset in enumerate(range(0, wanted, BLOCK_BYTES), index):
            self._blocks[number] = data[offset : offset + BLOCK_BYTES]
            self._blocks.move_to_end(number)
            self._next = number + 1
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
