"""Clips of odd kinds, made on the spot: a red square on grey tells a frame's number by its place.

In frame ``n`` the square's middle is at ``place(n)``, as a part of the picture's width and height.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.clips import Image, write_clip

FILM = Path(__file__).parent / "cases" / "clip.mp4"
_MATRIX = 44  # bytes from the type of a track header, version 0, to its matrix


def place(number: int) -> tuple[float, float]:
    """Middle of the square in frame ``number`` (below 60), as a part of width and height."""
    return (18 + 2 * number) / 320, 40 / 240


def squared(number: int, width: int, height: int) -> Image:
    """Frame ``number``: uint8 [height, width, 3]; the square is a twentieth as wide, a fifteenth as high."""
    image = np.full((height, width, 3), 60, np.uint8)
    x, y = place(number)
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width)[None] + 0.5
    image[(abs(rows - y * height) < height / 30) & (abs(columns - x * width) < width / 40)] = (220, 30, 30)
    return image


def oriented(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """The film with another display matrix: a, b, c, d of ISO/IEC 14496-12, 6.2.2."""
    a, b, c, d = (part << 16 for part in matrix)
    data = bytearray(FILM.read_bytes())
    at = data.index(b"tkhd") + _MATRIX
    values = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join(value.to_bytes(4, signed=True) for value in values)
    path.write_bytes(data)
    return path


def resized(
    path: Path, *sizes: tuple[int, int], frames: int = 12, codec: str = "libvpx", muxer: str | None = None
) -> Path:
    """A clip of 25 frames/s whose picture has another size every ``frames`` frames, as calls and splices have it."""
    base = Fraction(1, 25)
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = sizes[0]
        stream.pix_fmt, stream.time_base = "yuv420p", base
        starts = accumulate([0, *(frames for _ in sizes)])
        for size, (first, end) in zip(sizes, pairwise(starts), strict=True):
            for packet in _encoded(codec, size, range(first, end), base):
                packet.stream = stream
                container.mux(packet)
    return path


def _encoded(codec: str, size: tuple[int, int], numbers: Sequence[int], base: Fraction) -> list[Any]:
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *size, "yuv420p", base
    encoder.framerate, encoder.max_b_frames, encoder.bit_rate = 25, 0, 2_000_000
    packets = []
    for number in numbers:
        frame = av.VideoFrame.from_ndarray(squared(number, *size), "rgb24")
        frame.pts, frame.time_base = number, base
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    for packet in packets:
        packet.time_base = base
    return packets


def variable(path: Path) -> tuple[Path, list[float]]:
    """A clip of a variable frame rate, and the seconds at which each frame is shown."""
    times = list(accumulate([0, *((20, 40, 80)[number % 3] for number in range(47))]))
    return write_clip(path, frames=48, size=(320, 240), times_ms=times, picture=squared), [ms / 1000 for ms in times]
