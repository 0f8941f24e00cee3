"""Segments and keyframes of a track: where it is seen, and how few boxes say so. Pure arithmetic."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import Bool, Int64

# A box is kept at least this often: the worst case of the search is quadratic in the stretch.
_STRETCH = 1024


def segment_bounds(sample: Int64, time_s: NDArray[np.float64], inferred: Bool, max_gap_s: float) -> list[slice]:
    """Cut a track where the object was looked for and not found for longer than ``max_gap_s``.

    A gap in which no frame was inferred ends nothing: nobody looked, so the object may be there.

    Args:
        sample: [n] samples that show the object, increasing.
        time_s: [F] time of every sample.
        inferred: [F] False for samples that were not looked at.

    Returns:
        Slices of ``sample``, in order, none empty.
    """
    looked = np.concatenate(([0], np.cumsum(inferred)))
    missed = looked[sample[1:]] - looked[sample[:-1] + 1]
    # A microsecond forgives times that were rounded on their way.
    far = np.diff(time_s[sample]) > max_gap_s + 1e-6
    cuts = [0, *(np.flatnonzero(far & (missed > 0)) + 1).tolist(), len(sample)]
    return [slice(first, last) for first, last in pairwise(cuts)]


def keyframes(frame: Int64, edges: Int64, tolerance: int) -> list[int]:
    """Pick few boxes from which straight lines give all others back.

    Ramer, Douglas and Peucker's method on the four edges over time. Integers make it exact: for
    every frame given, each edge interpolated between the kept boxes around it is off by at most
    ``tolerance``. First and last are always kept.

    Args:
        frame: [n] increasing.
        edges: [n, 4] left, top, right, bottom in any unit.
        tolerance: In the same unit, >= 0.

    Returns:
        Positions to keep, increasing.
    """
    anchors = [*range(0, len(frame) - 1, _STRETCH), len(frame) - 1]
    keep, pending = set(anchors), list(pairwise(anchors))
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        span = frame[last] - frame[first]
        passed = (frame[first + 1 : last] - frame[first])[:, None]
        # Everything times the span, so that nothing is divided.
        line = edges[first] * (span - passed) + edges[last] * passed
        off = np.abs(edges[first + 1 : last] * span - line).max(axis=1)
        worst = int(off.argmax())
        if off[worst] > tolerance * span:
            middle = first + 1 + worst
            keep.add(middle)
            pending += [(first, middle), (middle, last)]
    return sorted(keep)
