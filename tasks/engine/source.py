"""Remote bytes as a seekable file, so that the decoder never speaks HTTP itself.

libav's own HTTP reports short reads as the end of the file, silently; a Python file object
turns every failure into an exception. Anything that takes a video here takes a ``BinaryIO``:
what `open_source` returns, or simply ``open(path, "rb")``.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Protocol

from tasks.domain.seekable import SeekableFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 256 * 1024
CACHED_BLOCKS = 64
READ_AHEAD_BLOCKS = 16


class RangeSource(Protocol):
    """Something of known size that gives out any range of its bytes."""

    @property
    def size(self) -> int:
        """Total bytes."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``start``; the range lies inside the object.

        Raises:
            ReelrouteError: They cannot be had.
        """
        ...


def open_source(source: RangeSource, *, on_close: Callable[[], None] | None = None) -> BinaryIO:
    """Open a source as a seekable binary file whose reads are never short before the end.

    Args:
        source: Where the bytes are.
        on_close: Called once when the file is closed.
    """
    return io.BufferedReader(RangedFile(source, on_close=on_close))


class RangedFile(SeekableFile):
    """A read-only file over a `RangeSource`, with a block cache and growing read-ahead.

    Scattered reads cost one block each; reads that follow one another double the number of
    blocks per request, so that decoding from start to end needs few requests.

    Args:
        source: Where the bytes are.
        block: Bytes per cached block.
        cached_blocks: How many blocks are kept (memory is at most ``block * cached_blocks``).
        on_close: Called once when the file is closed.
    """

    def __init__(
        self,
        source: RangeSource,
        *,
        block: int = BLOCK_BYTES,
        cached_blocks: int = CACHED_BLOCKS,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(source.size)
        self._source = source
        self._block = block
        self._capacity = cached_blocks
        self._on_close = on_close
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._next_block = 0  # the block after the last fetched run
        self._ahead = 1

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill ``buffer`` from the current offset, at most to the end of a block; 0 at the end."""
        if self.closed:
            raise ValueError("read of a closed file")
        view = memoryview(buffer).cast("B")
        if not len(view) or self._position >= self._size:
            return 0
        index, skip = divmod(self._position, self._block)
        piece = memoryview(self._fetched(index))[skip : skip + len(view)]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        """Drop the cache and release the source."""
        if not self.closed:
            self._cache.clear()
            if self._on_close is not None:
                self._on_close()
        super().close()

    def _fetched(self, index: int) -> bytes:
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        in_sequence = index == self._next_block and index > 0
        self._ahead = min(self._ahead * 2, READ_AHEAD_BLOCKS, self._capacity) if in_sequence else 1
        start = index * self._block
        data = self._source.read(start, min(self._ahead * self._block, self._size - start))
        for shift in range(0, len(data), self._block):
            self._cache[index + shift // self._block] = data[shift : shift + self._block]
        self._next_block = index + -(-len(data) // self._block)
        while len(self._cache) > self._capacity:
            self._cache.popitem(last=False)
        return self._cache[index]
