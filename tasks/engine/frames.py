"""Which frames are inferred, and how they come out of the decoder.

The whole video is decoded in order, because seeking costs more than it saves at one frame per
second or above; only the sampled frames are converted to RGB. The decoder keeps PyAV's default
of slice threads: frame threads would be faster alone, but hide damage at the end of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from math import isfinite
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import FpsTooHigh, InputInvalid, VideoEmpty, VideoTooLarge
from tasks.engine.container import Opened, opened
from tasks.engine.probe import rotation_of

Image = NDArray[np.uint8]


class SampledFrame(NamedTuple):
    """One frame to infer.

    Attributes:
        frame_index: 0-based position in decode order.
        time_s: Presentation time from the first frame, rounded to 4 decimals.
        rgb: uint8 [height, width, 3], turned the way a viewer sees it.
    """

    frame_index: int
    time_s: float
    rgb: Image


def sample_indices(fps: Fraction, infer_fps: float) -> Iterator[int]:
    """Indices of the frames to infer, without end: ``int(k * fps / infer_fps + 0.5)``.

    This is how the hosted service picks frames; where the rates do not divide, the spacing
    alternates. The arithmetic is exact, so that long videos do not drift.

    Raises:
        InputInvalid: ``infer_fps`` is not a positive number.
        FpsTooHigh: The video has fewer frames per second; the hosted service gives no results then.
    """
    rate = Fraction(infer_fps).limit_denominator(1_000_000) if isfinite(infer_fps) else Fraction(0)
    if rate <= 0:
        raise InputInvalid(f"cannot infer {infer_fps} frames per second: it must be above 0, by a millionth or more")
    if rate > fps:
        raise FpsTooHigh(f"{infer_fps:g} frames per second were asked for; the video has {float(fps):.5g}")
    step = fps / rate
    return ((2 * k * step.numerator + step.denominator) // (2 * step.denominator) for k in count())


def sampled_frames(
    file: BinaryIO, infer_fps: float, *, size: int | None = None, max_duration_s: float | None = None
) -> Iterator[SampledFrame]:
    """Decode a video and yield the frames to infer, in order, holding one at a time.

    Times come from the stream's timestamps, so they are right for variable frame rates.

    Args:
        file: Seekable; left anywhere, never closed.
        infer_fps: Frames per second of video to yield.
        size: Bytes of the file, if known.
        max_duration_s: Refuse longer videos.

    Raises:
        FpsTooHigh, InputInvalid: See `sample_indices`.
        VideoEmpty: No bytes, or no frames.
        VideoTooLarge: Longer than ``max_duration_s``.
        VideoTruncated, VideoUnreadable: The file is cut short or damaged, found at the start or on the way.
        ReelrouteError: Whatever ``file`` itself raises.
    """
    with opened(file, size) as video:
        wanted_indices = sample_indices(video.fps, infer_fps)
        _refuse_if_longer(video.duration_s or 0.0, max_duration_s)
        wanted, index = next(wanted_indices), -1
        for index, (frame, time_s) in enumerate(_timed(video)):
            _refuse_if_longer(time_s, max_duration_s)
            if index == wanted:
                yield SampledFrame(index, round(time_s, 4), _upright(frame))
                wanted = next(wanted_indices)
        video.require_most(index + 1)
        if index < 0:
            raise VideoEmpty("the video has no frames")


def _timed(video: Opened) -> Iterator[tuple[Any, float]]:
    """Decoded frames with seconds since the first one, always increasing.

    Raw streams have no timestamps and MPEG program streams repeat some; one frame's length
    after the frame before is then the best guess.
    """
    frame_s = float(1 / video.fps)
    start = previous = None
    for frame in video.container.decode(video.stream):
        stamp = None if frame.pts is None else float(frame.pts * frame.time_base)
        if previous is not None and (stamp is None or stamp <= previous):
            stamp = previous + frame_s
        previous = stamp = 0.0 if stamp is None else stamp
        start = stamp if start is None else start
        yield frame, stamp - start


def _upright(frame: Any) -> Image:
    image: Image = frame.to_ndarray(format="rgb24")
    turns = rotation_of(frame) // 90
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _refuse_if_longer(seconds: float, limit: float | None) -> None:
    if limit is not None and seconds > limit:
        raise VideoTooLarge(f"the video lasts {seconds:.1f} s or more; at most {limit:.1f} s are taken")
