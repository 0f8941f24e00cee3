"""Which frames are inferred, and how they come out of the decoder.

The whole video is decoded in order, because seeking costs more than it saves at one frame per
second or above; only the sampled frames are converted to RGB. The decoder keeps PyAV's default
of slice threads: frame threads would be faster alone, but hide damage at the end of a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import VideoEmpty, VideoTooLarge
from tasks.domain.orientation import to_upright
from tasks.domain.sampling import sample_indices
from tasks.engine.container import Opened, opened
from tasks.engine.orientation import orientation_of
from tasks.engine.probe import require_most, stamp_of

Image = NDArray[np.uint8]


class SampledFrame(NamedTuple):
    """One frame to infer.

    Attributes:
        frame_index: 0-based position in decode order.
        time_s: Presentation time from the first frame, rounded to 4 decimals.
        rgb: uint8 [height, width, 3], turned and mirrored the way a viewer sees it; its size may change.
    """

    frame_index: int
    time_s: float
    rgb: Image


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
        FpsTooHigh, InputInvalid: See :func:`tasks.domain.sampling.sampling_step`.
        VideoEmpty: No bytes, or no frames.
        VideoTooLarge: Longer than ``max_duration_s``, or its pictures are too large.
        VideoTruncated, VideoUnreadable: The file is cut short or damaged, found at the start or on the way.
        ReelrouteError: Whatever ``file`` itself raises.
    """
    fps, duration_s = _pace(file, size)
    wanted_indices = sample_indices(fps, infer_fps)
    _refuse_if_longer(duration_s, max_duration_s)
    with opened(file, size) as video:
        wanted, index = next(wanted_indices), -1
        for index, (frame, time_s) in enumerate(_timed(video, fps)):
            _refuse_if_longer(time_s, max_duration_s)
            if index == wanted:
                yield SampledFrame(index, round(time_s, 4), _upright(frame))
                wanted = next(wanted_indices)
        listed = video.listed_frames
    require_most(file, size=size, count=index + 1, listed=listed)
    if index < 0:
        raise VideoEmpty("the video has no frames")


def _pace(file: BinaryIO, size: int | None) -> tuple[Fraction, float]:
    """Frame rate as the probe settles it, and seconds of film as far as they can be known before decoding.

    Without an index the file is read on until its timestamps bear out the stated rate: most often a few packets.
    """
    with opened(file, size) as video:
        if video.indexed_frames is not None:
            stamps = video.index_stamps
            fps = video.rate(stamps)
            return fps, video.duration_s(stamps, fps, len(stamps))
        return video.rate(stamp_of(packet) for packet in video.packets()), 0.0


def _timed(video: Opened, fps: Fraction) -> Iterator[tuple[Any, float]]:
    """Decoded frames with seconds since the first one, always increasing.

    Raw streams have no timestamps and MPEG program streams repeat some; one frame's length
    after the frame before is then the best guess.
    """
    frame_s = float(1 / fps)
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
    rotation, mirrored = orientation_of(frame)
    return np.ascontiguousarray(to_upright(image, rotation, mirrored=mirrored))


def _refuse_if_longer(seconds: float, limit: float | None) -> None:
    if limit is not None and seconds > limit:
        raise VideoTooLarge(f"the video lasts {seconds:.1f} s or more; at most {limit:.1f} s are taken")
