"""What every annotation route refuses before it writes anything. No I/O, no vendor's format."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import ModelPredictions, Predictions, TaskType
from tasks.domain.video import VideoInfo, printable
from tasks.domain.wording import count_of

_EMBEDDING_HINT = "embeddings are vectors, not annotations: the results route has them, as JSON and as a table"


def require_frames(predictions: Predictions, info: VideoInfo) -> None:
    """Refuse frame indices that cannot be those of this video.

    Raises:
        DeliveryFailed: An index is negative, repeated, out of order or beyond the last frame.
    """
    index = predictions.frame_index
    if not len(index):
        return
    if index[0] < 0 or (np.diff(index) <= 0).any():
        raise DeliveryFailed("the frame indices of the results are not increasing, so boxes cannot be put on frames")
    if index[-1] >= info.frame_count:
        ends = count_of(info.frame_count, "frame ends", "frames end")
        raise DeliveryFailed(
            f"the results speak of frame {index[-1]}, but the video's {ends} at {info.frame_count - 1}",
            hint="the video was replaced after it was inferred, or the service counts frames in another way",
        )


def choose_models(
    predictions: Predictions, takes: Collection[TaskType], place: str
) -> tuple[list[ModelPredictions], list[str]]:
    """Pick the models whose kind of prediction the place takes.

    A model that found nothing in the whole video (``TaskType.NONE``) is taken as one that
    looks for objects.

    Args:
        takes: Kinds that the place takes; ``NONE`` need not be among them.
        place: What the message calls the place.

    Returns:
        The models, and a warning for each that is left out.

    Raises:
        DeliveryFailed: No model is left.
    """
    chosen, warnings, hint = [], [], ""
    for model in predictions.models:
        kind = TaskType.EMBEDDING if model.model == "clip" else model.task
        if kind is TaskType.NONE or kind in takes:
            chosen.append(model)
            continue
        known = ", ".join(sorted(set(takes) - {TaskType.NONE}))
        hint = _EMBEDDING_HINT if kind is TaskType.EMBEDDING else f"{place} takes only {known} in this version"
        warnings.append(f"model {printable(model.model)!r} was left out: {kind} predictions do not go to {place}")
    if not chosen:
        kinds = ", ".join(str(model.task) for model in predictions.models) or "no model"
        raise DeliveryFailed(f"nothing in these results can go to {place}: {kinds}", hint=hint)
    return chosen, warnings
