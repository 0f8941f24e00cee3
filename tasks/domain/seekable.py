"""What every file over bytes that are elsewhere has in common: its size, and a position of its own."""

from __future__ import annotations

import io
import os


class SeekableFile(io.RawIOBase):
    """A file for reading whose size is known; who derives from it reads at ``_position``, and moves it on.

    Args:
        size: Bytes of the whole.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Current offset in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to an offset, which may lie beyond the end; return it.

        Raises:
            ValueError: It lies before the start.
        """
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position: before the start")
        self._position = base + offset
        return self._position
