"""Segments and keyframes of tracks: where they are seen, and how few places say so. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import Bool, Int64

# A place is kept at least this often: the worst case of the search is quadratic in the stretch.
_STRETCH = 1024
# Numbers that are looked at in one go: enough to hide what a step costs, few enough for the cache.
_AT_ONCE = 400_000


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a track to thin out.

    Attributes:
        frame: int64 [n] increasing.
        place: int64 [n, d] coordinates in any unit.
        must_keep: Positions that are kept whatever the line says.
    """

    frame: Int64
    place: Int64
    must_keep: Int64 | None = None


def segment_bounds(
    sample: Int64, time_s: NDArray[np.float64], inferred: Bool, max_gap_s: float, left_out: Bool
) -> list[slice]:
    """Cut a track where the object was looked for and not found for longer than ``max_gap_s``.

    A gap in which no frame was inferred ends nothing: nobody looked, so the object may be there.
    One with a sample that was left out ends it, however short: boxes have no place in that picture.

    Args:
        sample: [n] samples that show the object, increasing.
        time_s: [F] time of every sample.
        inferred: [F] False for samples that were not looked at.
        left_out: [F] True for samples that were left out.

    Returns:
        Slices of ``sample``, in order, none empty.
    """
    missed, barred = (
        passed[sample[1:]] - passed[sample[:-1] + 1]
        for passed in (np.concatenate(([0], np.cumsum(each))) for each in (inferred, left_out))
    )
    # A microsecond forgives times that were rounded on their way.
    far = np.diff(time_s[sample]) > max_gap_s + 1e-6
    cuts = [0, *(np.flatnonzero((far & (missed > 0)) | (barred > 0)) + 1).tolist(), len(sample)]
    return [slice(first, last) for first, last in pairwise(cuts)]


def keyframes(parts: Iterable[Part], tolerance: int) -> Iterator[Int64]:
    """Pick few places of each part, from which straight lines give all others back.

    Ramer, Douglas and Peucker's method on the coordinates over time, of many parts at once.
    Integers make it exact: for every frame given, each coordinate interpolated between the kept
    places around it is off by at most ``tolerance``. First and last are always kept.

    Args:
        parts: Of one number of coordinates.
        tolerance: In the coordinates' unit, >= 0.

    Yields:
        For each part the positions to keep, increasing.
    """
    for batch in _batches(parts):
        starts = np.concatenate(([0], np.cumsum([len(part.frame) for part in batch])))
        frame, place = np.concatenate([p.frame for p in batch]), np.concatenate([p.place for p in batch])
        keep = np.zeros(len(frame), np.bool_)
        for part, start in zip(batch, starts[:-1].tolist(), strict=True):
            keep[start : start + len(part.frame) : _STRETCH] = True
            keep[start + len(part.frame) - 1] = True
            if part.must_keep is not None:
                keep[start + part.must_keep] = True
        _search(frame, place, keep, tolerance)
        kept = np.flatnonzero(keep)
        for first, last in pairwise(starts.tolist()):
            yield kept[slice(*np.searchsorted(kept, (first, last)))] - first


def _batches(parts: Iterable[Part]) -> Iterator[list[Part]]:
    batch: list[Part] = []
    size = 0
    for part in parts:
        if batch and size + part.place.size > _AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += part.place.size
    if batch:
        yield batch


def _search(frame: Int64, place: Int64, keep: Bool, tolerance: int) -> None:
    """Mark in ``keep`` the places that are needed between those marked already."""
    marked = np.flatnonzero(keep)
    first, last = marked[:-1], marked[1:]
    # From the end of a part to the beginning of the next there is nothing in between.
    pending = last - first > 1
    first, last = first[pending], last[pending]
    while len(first):
        inner = last - first - 1
        begins = np.cumsum(inner) - inner
        owner = np.repeat(np.arange(len(first)), inner)
        position = np.arange(len(owner)) + (first + 1 - begins)[owner]
        off = _off_the_line(frame, place, first[owner], position, last[owner])
        worst = np.maximum.reduceat(off, begins)
        at_worst = np.flatnonzero(off == worst[owner])
        middle = position[at_worst[np.searchsorted(owner[at_worst], np.arange(len(first)))]]
        split = worst > tolerance * (frame[last] - frame[first])
        first, middle, last = first[split], middle[split], last[split]
        keep[middle] = True
        first, last = np.concatenate((first, middle)), np.concatenate((middle, last))
        pending = last - first > 1
        first, last = first[pending], last[pending]


def _off_the_line(frame: Int64, place: Int64, first: Int64, position: Int64, last: Int64) -> Int64:
    """How far each position's worst coordinate is off the line, times the line's span of frames."""
    # Everything times the span, so that nothing is divided.
    span, passed = frame[last] - frame[first], frame[position] - frame[first]
    off: Int64 = np.zeros(len(position), np.int64)
    for coordinate in place.T:
        line = coordinate[first] * (span - passed) + coordinate[last] * passed
        np.maximum(off, np.abs(coordinate[position] * span - line), out=off)
    return off
