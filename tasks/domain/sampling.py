"""Which frames of a video are inferred: the one rule for estimate, budget, engine and checks.

This is how the hosted service picks frames: k-th is ``int(k * fps / infer_fps + 0.5)``. Where the
rates do not divide, the spacing alternates. The arithmetic is exact, so that long videos do not drift.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from math import isfinite

from tasks.domain.errors import FpsTooHigh, InputInvalid


def sampling_step(fps: Fraction, infer_fps: float) -> Fraction:
    """Frames of the video from one inferred frame to the next, at least 1.

    Raises:
        InputInvalid: ``infer_fps`` is not a positive number of at least a millionth.
        FpsTooHigh: The video has fewer frames per second; the hosted service gives no results then.
    """
    rate = Fraction(infer_fps).limit_denominator(1_000_000) if isfinite(infer_fps) else Fraction(0)
    if rate <= 0:
        raise InputInvalid(f"cannot infer {infer_fps} frames per second: it must be above 0, by a millionth or more")
    if rate > fps:
        raise FpsTooHigh(f"{infer_fps:g} frames per second were asked for; the video has {float(fps):.5g}")
    return fps / rate


def sample_indices(fps: Fraction, infer_fps: float) -> Iterator[int]:
    """Indices of the frames to infer, without end.

    Raises:
        InputInvalid, FpsTooHigh: See :func:`sampling_step`.
    """
    step = sampling_step(fps, infer_fps)
    return ((2 * k * step.numerator + step.denominator) // (2 * step.denominator) for k in count())


def sample_count(frame_count: int, step: Fraction) -> int:
    """How many of a video's frames are inferred: those k with ``int(k * step + 0.5) < frame_count``.

    Args:
        step: As :func:`sampling_step` gives it.
    """
    return max(0, -int(-(frame_count - Fraction(1, 2)) // step))
