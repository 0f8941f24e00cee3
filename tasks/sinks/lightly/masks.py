"""Masks as LightlyOne writes them: run lengths, row by row, over the whole frame. No I/O.

The first count is of zeros (0 where the mask begins with its first pixel), the counts add up to
width x height. COCO, and so Roboflow, counts column by column: what comes from there is decoded
and encoded anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tasks.domain.predictions import Bool, Int64
from tasks.sinks.geometry import Float64, Size

# Farther outside of a frame than this, a corner of a polygon is as good as there.
_FAR = 1 << 20


@dataclass(frozen=True, slots=True)
class Crop:
    """The part of a frame that holds a mask.

    Attributes:
        mask: bool [h, w].
        left, top: Where it lies in the frame.
    """

    mask: Bool
    left: int
    top: int

    @property
    def extent(self) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of its pixels in the frame; None if there is none."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        if not len(rows):
            return None
        return (
            self.left + int(columns[0]),
            self.top + int(rows[0]),
            self.left + int(columns[-1]) + 1,
            self.top + int(rows[-1]) + 1,
        )

    def run_lengths(self, frame: Size) -> list[int]:
        """Run lengths over the whole frame; costs what the crop is, however large the frame."""
        frame_width, frame_height = frame
        height, width = self.mask.shape
        # A column of zeros on the right keeps runs within their rows, one on the left of the first row starts them.
        guarded = np.zeros((height, width + 1), np.uint8)
        guarded[:, :width] = self.mask
        flat = np.concatenate((np.zeros(1, np.uint8), guarded.ravel()))
        row, column = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), width + 1)
        bounds = (self.top + row) * frame_width + self.left + column
        # Runs that touch over the frame's edge are one.
        starts, ends = bounds[0::2], bounds[1::2]
        apart = starts[1:] != ends[:-1]
        starts, ends = starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]
        edges = np.column_stack((starts, ends)).ravel()
        counts: list[int] = np.diff(edges, prepend=0, append=frame_width * frame_height).tolist()
        return counts if counts[-1] else counts[:-1]


def whole(mask: NDArray[np.generic]) -> Crop:
    """A mask of the whole frame."""
    return Crop(np.ascontiguousarray(mask, np.bool_), 0, 0)


def trimmed(mask: NDArray[np.generic]) -> Crop:
    """A mask of the whole frame, without the empty rows and columns around it."""
    full = whole(mask)
    extent = full.extent
    if extent is None:
        return Crop(full.mask[:0, :0], 0, 0)
    left, top, right, bottom = extent
    return Crop(full.mask[top:bottom, left:right], left, top)


def filled(polygons: Sequence[Float64], frame: Size) -> Crop:
    """Fill polygons, the corners and edges included, as far as they lie in the frame.

    Args:
        polygons: Each [n, 2] x, y of pixels: (0, 0) is the middle of the first one. Corners are
            rounded; outlines that were traced around a mask give that very mask.
        frame: Width and height.
    """
    corners = [np.rint(points.clip(-_FAR, _FAR)).astype(np.int64) for points in polygons if len(points)]
    if not corners:
        return Crop(np.zeros((0, 0), np.bool_), 0, 0)
    every = np.concatenate(corners)
    left, top = np.maximum(every.min(axis=0), 0).tolist()
    right, bottom = np.minimum(every.max(axis=0) + 1, frame).tolist()
    if right <= left or bottom <= top:
        return Crop(np.zeros((0, 0), np.bool_), 0, 0)
    picture = Image.new("L", (right - left, bottom - top))
    pen = ImageDraw.Draw(picture)
    for points in corners:
        flat = (points - (left, top)).ravel().tolist()
        if len(points) > 1:
            pen.polygon(flat, fill=1, outline=1)
        else:
            pen.point(flat, fill=1)
    return Crop(np.asarray(picture, np.bool_), left, top)


def decoded(height: int, width: int, counts: str | Sequence[int]) -> Bool:
    """Decode a COCO mask, whose runs go down the columns.

    Args:
        counts: Run lengths, or the text that COCO's tools compress them to.

    Returns:
        bool [height, width].

    Raises:
        ValueError: The counts are none, or do not cover the mask.
    """
    runs = uncompressed(counts) if isinstance(counts, str) else np.array(counts, np.int64)
    if (runs < 0).any() or int(runs.sum()) != height * width:
        raise ValueError(f"run lengths of {int(runs.sum())} pixels for a mask of {width}x{height}")
    values = (np.arange(len(runs)) & 1).astype(np.bool_)
    return np.repeat(values, runs).reshape(width, height).T


def uncompressed(text: str) -> Int64:
    """Read COCO's compressed run lengths.

    Five bits a character from ``0`` (48) on, the sixth says that more follow, the sign is the
    highest bit; from the third count on it is the difference to the one before the last (the
    COCO API's ``rleToString``).

    Raises:
        ValueError: The text is none, or ends in the middle of a number.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 50:
            raise ValueError("the run lengths are no compressed ones")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the run lengths end in the middle of a number")
    return np.array(counts, np.int64)
