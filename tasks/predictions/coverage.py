"""Hold results against the job that they are for: frames of this video, as many as were asked for, and inferred.

A right result is never refused, so each tolerance has its reason:

- *Index.* A frame count is that of our decoder. Another one may also give out the pictures in front of
  a cut at an open GOP, at most as many as a decoder holds back (16 in H.264 and HEVC), and containers
  round: an index may lie 5 % or 16 frames, whichever is more, behind the last frame.
- *Number.* Where the rates do not divide, the service may round the step between two frames up or down,
  so the number lies between those of both. Below it, the same pictures may be missing, of a short video
  a quarter at most, and one more sample by where the first is taken; above it as for the index.
- *Variable rate.* Where the times that came with the results show that frames are spaced unevenly (two
  gaps whose rates differ by half from the video's), sampling by time gives another number than sampling by
  frames, and both are right: only the index is held against the video then.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import Predictions
from tasks.domain.video import VideoInfo
from tasks.domain.wording import count_of

_HELD_BACK = 16
_ROUNDED = 0.05


def check_coverage(predictions: Predictions, info: VideoInfo, fps: float) -> None:
    """Refuse results of another video, of another rate, or cut short.

    Args:
        info: What is known of the job's video.
        fps: Frames per second of video that the job asked for.

    Raises:
        ResultInvalid: A frame is outside of the video, or too few or too many were inferred.
    """
    frames = info.frame_count
    beyond = max(_HELD_BACK, _ROUNDED * frames)
    last, number = int(predictions.frame_index[-1]), len(predictions.frame_index)
    if last >= frames + beyond:
        raise ResultInvalid(
            f"frame {last} was inferred, of a video with {count_of(frames, 'frame')}: results of another video?"
        )
    step = info.fps / Fraction(fps).limit_denominator(1_000_000)
    if step <= 0 or _is_uneven(predictions, float(info.fps)):
        return
    missing = max(min(_HELD_BACK, frames / 4), _ROUNDED * frames)
    least = max(1, floor((frames - missing) / ceil(step)))
    most = ceil((frames + beyond) / max(1, floor(step))) + 1
    if not least <= number <= most:
        inferred = count_of(number, "frame was", "frames were")
        raise ResultInvalid(f"{inferred} inferred; {fps:g} a second of this video are about {round(frames / step)}")


def check_inferred(predictions: Predictions) -> None:
    """Refuse results in which a model inferred no frame at all.

    Raises:
        ResultInvalid: Every frame of a model is null.
    """
    for part in predictions.models:
        if not part.inferred.any():
            raise ResultInvalid(
                f"{part.model}: none of {count_of(len(part.inferred), 'frame')} was inferred (all are null)"
            )


def frames_not_inferred(predictions: Predictions) -> int:
    """Count the frames that a model did not infer (null in the results)."""
    return int((~np.logical_and.reduce([part.inferred for part in predictions.models])).sum())


def _is_uneven(predictions: Predictions, fps: float) -> bool:
    """Say whether the given times show a variable frame rate."""
    seconds, frames = np.diff(predictions.time_s), np.diff(predictions.frame_index)
    rates = frames[seconds > 0] / seconds[seconds > 0] / fps
    return int(((rates < 0.5) | (rates > 2)).sum()) >= 2
