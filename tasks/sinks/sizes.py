"""Videos whose picture changes its size in mid-stream, taken alike by every route that places things in pictures.

Places are those in the first picture, scaled: that is how players show such a video. A picture of
another shape (a phone that was turned) has no place in that frame: what was found there is left
out, and said to be. Neither can be known before the video is decoded to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from tasks.domain.predictions import Bool, ModelPredictions, TaskType
from tasks.domain.video import VideoInfo
from tasks.domain.wording import count_of
from tasks.sinks.geometry import Size, shown_upright

# What is said of a whole frame is right whatever its shape.
_OF_WHOLE_FRAMES = frozenset({TaskType.CLASSIFICATION, TaskType.MULTILABEL_CLASSIFICATION, TaskType.EMBEDDING})


def without_misfits(
    models: Iterable[ModelPredictions], info: VideoInfo
) -> tuple[tuple[ModelPredictions, ...], tuple[Bool, ...]]:
    """Leave out what was found in pictures of another shape than the video's first.

    Where no picture has a shape of the video nothing is left out: the results are not this video's,
    and placing them will say so.

    Returns:
        The models, and for each of them bool [F]: of which samples nothing is left though they were inferred.
    """
    models = tuple(models)
    misfits = tuple(_misfits(model, info) for model in models)
    fitting = tuple(
        _sizeless(model, misfit) if _is_of_whole_frames(model) else only(model, ~misfit)
        for model, misfit in zip(models, misfits, strict=True)
    )
    left_out = tuple(misfit & (not _is_of_whole_frames(model)) for model, misfit in zip(models, misfits, strict=True))
    return fitting, left_out


def misfit_warnings(left_out: Sequence[Bool]) -> list[str]:
    """Say how many inferred frames were left out, over all models."""
    count = int(np.logical_or.reduce(left_out).sum())
    said = count_of(count, "inferred frame was", "inferred frames were")
    return [f"{said} left out: the picture has another shape there than at the start"] if count else []


def only(model: ModelPredictions, sample: Bool) -> ModelPredictions:
    """The model as if it had found nothing in other samples than these (bool [F]), and not said how large they are."""
    if sample.all():
        return model
    frames = {number: said for number, said in model.frames.items() if sample[number]}
    objects = model.objects.where(sample[model.objects.sample])
    return replace(_sizeless(model, ~sample), objects=objects, frames=frames)


def sizes_of(model: ModelPredictions) -> list[Size]:
    """Every size that an inferred image has, as far as they are given, first seen first."""
    given = model.image_size[_given(model)]
    sizes, first = np.unique(given, axis=0, return_index=True)
    return [(width, height) for width, height in sizes[np.argsort(first)].tolist()]


def has_size(model: ModelPredictions, size: Size) -> Bool:
    """bool [F], samples whose image was inferred and is of this size."""
    found: Bool = _given(model) & (model.image_size == size).all(axis=1).reshape(-1)
    return found


def _given(model: ModelPredictions) -> Bool:
    given: Bool = model.inferred & model.image_size.any(axis=1).reshape(-1)
    return given


def _misfits(model: ModelPredictions, info: VideoInfo) -> Bool:
    """bool [F]; whether the service turns pictures upright is told by the first one that fits."""
    shown = {size: shown_upright(size, info) for size in sizes_of(model)}
    upright = next((each for each in shown.values() if each is not None), None)
    misfit = np.zeros(len(model.inferred), np.bool_)
    if upright is not None:
        for size in (size for size, each in shown.items() if each is not upright):
            misfit |= has_size(model, size)
    return misfit


def _is_of_whole_frames(model: ModelPredictions) -> bool:
    return model.model == "clip" or model.task in _OF_WHOLE_FRAMES


def _sizeless(model: ModelPredictions, sample: Bool) -> ModelPredictions:
    return replace(model, image_size=np.where(sample[:, None], np.int32(0), model.image_size))
