"""Frames of a video whose picture changes its size in mid-stream: each is written in its own pixels. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tasks.domain.predictions import Bool, Int64, ModelPredictions
from tasks.domain.video import VideoInfo
from tasks.sinks.geometry import Size, is_upright
from tasks.sinks.sizes import has_size, sizes_of


@dataclass(frozen=True, slots=True)
class FrameSizes:
    """How large the frames of one video are.

    Attributes:
        infos: The video, once for each size that its frames have.
        number: int64 [F], which of them each sample's frame has; -1 where that is not known.
        given: bool [F], samples of which the service said how large their image is.
    """

    infos: tuple[VideoInfo, ...]
    number: Int64
    given: Bool


def frame_sizes(model: ModelPredictions, info: VideoInfo, misfit: Bool) -> FrameSizes:
    """Tell the size of each inferred frame by that of its image.

    A service that looks at the first frame in its own size looks at all of them so. Of one that
    scales them, the size is known of those frames whose image is as large as the first one's.

    Args:
        misfit: bool [F], samples whose picture has another shape than the video.

    Raises:
        DeliveryFailed: An image has neither shape of the video.
    """
    number, given, infos = np.where(misfit, -1, 0), misfit.copy(), [info]
    if len(model.objects) or model.frames:  # what has no place needs no size
        sizes = sizes_of(model)
        unscaled = sizes[:1] in ([info.display_size], [(info.width, info.height)])
        for size in sizes:
            given |= has_size(model, size)
            if size != sizes[0]:
                number[has_size(model, size)] = len(infos) if unscaled else -1
                infos += [_of_size(info, size)] if unscaled else []
    return FrameSizes(tuple(infos), number, given)


def _of_size(info: VideoInfo, image: Size) -> VideoInfo:
    turned = is_upright(image, info) and info.rotation % 180
    width, height = image[::-1] if turned else image
    return replace(info, width=width, height=height)


def without_doubtful_copies(source: Int64, frame_index: Int64, sizes: FrameSizes) -> Int64:
    """Take predictions from frames between two samples of which one has another size than the source's.

    Args:
        source: int64 [frame_count], the sample whose predictions each frame gets, or -1.
        frame_index: int64 [F], frame of each sample.
    """
    looked = np.flatnonzero(sizes.given)
    if not len(np.unique(sizes.number[looked])) > 1:
        return source
    frame = np.arange(len(source))
    before = np.searchsorted(frame_index[looked], frame, side="right") - 1
    after = np.searchsorted(frame_index[looked], frame, side="left")
    beside = sizes.number[looked[np.clip((before, after), 0, len(looked) - 1)]]
    return np.where((beside == sizes.number[source]).all(axis=0), source, -1)
