"""Which inferred frame speaks for which frame of the video. Pure arithmetic."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Literal

import numpy as np

from tasks.domain.predictions import Bool, Int64

Fill = Literal["none", "nearest", "hold"]


def sources(frame_index: Int64, inferred: Bool, frame_count: int, fill: Fill, reach: int) -> Int64:
    """Give each frame of the video the sample whose predictions it gets, or -1.

    Args:
        frame_index: [F] frame of each sample, increasing, below ``frame_count``.
        inferred: [F] samples that the service failed on speak for no frame, not even their own.
        fill: ``none`` leaves frames between samples without; ``hold`` gives them the last
            sample before, ``nearest`` the nearest one (the earlier of two equally near).
        reach: Frames that a sample is carried at most.

    Returns:
        int64 [frame_count].
    """
    sample = np.flatnonzero(inferred)
    at = frame_index[sample]
    if not len(at):
        return np.full(frame_count, -1, dtype=np.int64)
    frame = np.arange(frame_count)
    # Position among the looked-at samples of the last one at or before each frame.
    before = np.searchsorted(at, frame, side="right") - 1
    source = np.maximum(before, 0)
    distance = np.where(before >= 0, frame - at[source], np.iinfo(np.int64).max)
    if fill == "nearest":
        after = np.minimum(before + 1, len(at) - 1)
        ahead = np.abs(at[after] - frame)
        source = np.where(ahead < distance, after, source)
        distance = np.minimum(ahead, distance)
    return np.where(distance <= (0 if fill == "none" else reach), sample[source], -1)


def frames_in(duration: timedelta, fps: Fraction) -> int:
    """Whole frames that pass in the duration."""
    return int(Fraction(duration // timedelta(microseconds=1), 1_000_000) * fps)
