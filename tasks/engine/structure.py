"""What a file's own structure says about where it ends, so that a file cut short is noticed.

libav takes the end of a cut AVI, Matroska or fragmented MP4 for the end of the film. Their
formats state sizes, though; reading those costs a few small reads and no decoding. MPEG streams
state none: a cut one is a whole, shorter one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_MP4_BOXES = frozenset(
    b"ftyp styp moov moof mdat mfra sidx ssix free skip wide uuid udta meta pdin emsg prft pnot PICT".split()
)


@dataclass(frozen=True, slots=True)
class Structure:
    """A container's outermost parts.

    Attributes:
        kind: ``mp4``, ``avi``, ``webm`` or ``mkv``; "" for a format that states no sizes.
        end: Byte after the last part, by the stated sizes; 0 where none is stated.
        last: Type of an MP4's last box.
        fragmented: The samples of an MP4 are spread over fragments.
        indexed: A fragmented MP4 has a segment index, which libav takes for all there is.
    """

    kind: str = ""
    end: int = 0
    last: str = ""
    fragmented: bool = False
    indexed: bool = False


def file_size(file: BinaryIO) -> int:
    """Length of a seekable file in bytes; leaves it at its start."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def structure_of(file: BinaryIO, size: int) -> Structure:
    """Read the outermost parts of the container; ``file`` is left anywhere."""
    head = _at(file, 0, 64)
    if head[4:8] in _MP4_BOXES:
        return _mp4(file, size)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Structure("avi", _avi_end(file, size))
    if head[:4] == _EBML:
        return _matroska(file)
    return Structure()


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _mp4(file: BinaryIO, size: int) -> Structure:
    """Walk the top-level boxes (ISO/IEC 14496-12, 4.2): 32-bit size, type, optional 64-bit size."""
    seen: list[bytes] = []
    offset = 0
    while offset + 8 <= size:
        header = _at(file, offset, 16)
        length, kind = int.from_bytes(header[:4]), header[4:8]
        if kind not in _MP4_BOXES:
            break  # padding or a foreign trailer: no verdict about it
        seen.append(kind)
        if length == 1:
            length = int.from_bytes(header[8:16])
        elif length == 0:  # "to the end of the file"
            length = size - offset
        if length < 8:
            break
        offset += length
    indexed = b"sidx" in seen
    last = seen[-1].decode() if seen else ""
    return Structure("mp4", offset, last, fragmented=indexed or b"moof" in seen, indexed=indexed)


def _avi_end(file: BinaryIO, size: int) -> int:
    """Walk the RIFF chunks (one, or more in OpenDML files); 0 if the first size was never filled in."""
    offset = 0
    while offset + 8 <= size:
        header = _at(file, offset, 8)
        length = int.from_bytes(header[4:8], "little")
        if header[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):
            break
        offset += 8 + length + length % 2
    return offset


def _matroska(file: BinaryIO) -> Structure:
    """Read the EBML header's document type and the Segment's size (RFC 8794, RFC 9559)."""
    length, used = _vint(_at(file, 4, 8))
    header = _at(file, 4 + used, min(length, 1024))
    kind = "webm" if b"webm" in header else "mkv"
    segment = 4 + used + length
    if _at(file, segment, 4) != _SEGMENT:
        return Structure(kind)
    field = _at(file, segment + 4, 8)
    length, used = _vint(field)
    unknown = length == (1 << 7 * used) - 1  # all ones: a live recording
    return Structure(kind, 0 if unknown else segment + 4 + used + length)


def _vint(field: bytes) -> tuple[int, int]:
    """Value and width in bytes of the EBML variable-size integer at the start of ``field``."""
    first = field[0] if field else 0
    width = 9 - first.bit_length() if first else 8
    value = int.from_bytes(field[:width]) & ((1 << 7 * width) - 1)
    return value, width
