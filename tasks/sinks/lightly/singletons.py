"""LightlyOne's prediction singletons: one function per kind of task. No I/O.

A function takes a model's predictions and says what stands in the files of its frames;
``KINDS`` names the kinds of prediction that have one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from tasks.domain.predictions import ModelPredictions, TaskType
from tasks.domain.video import VideoInfo
from tasks.sinks.detections import select

# Boxes are written to a hundredth of a pixel.
_PER_PIXEL = 100


class Detection(msgspec.Struct, frozen=True, gc=False):
    """One detected object.

    Attributes:
        category_id: Id in the task's schema.
        bbox: x, y (top left), width, height in pixels of the frame as PyAV decodes it, not turned.
        score: In [0, 1].
    """

    category_id: int
    bbox: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, slots=True)
class Singletons:
    """What a model says of each sample, ready to be written.

    Attributes:
        of: Sample -> its singletons; empty where the model looked and found nothing.
        counts: What was taken and what was left out, for the receipt.
    """

    of: Callable[[int], list[Detection]]
    counts: dict[str, int]


def object_detection(
    model: ModelPredictions, info: VideoInfo, ids: dict[str, int], min_confidence: float | None
) -> Singletons:
    """Detections (or faces) as LightlyOne's object detection.

    Boxes are brought to the coded frame, clipped to it and at least one pixel wide and high;
    those that lie wholly outside, or under ``min_confidence``, are left out.

    Args:
        ids: Class name -> category id, for each of the model's classes.

    Raises:
        DeliveryFailed: A box is no box, or the inferred images do not fit the video.
    """
    found = select(model, info, upright=False, per_pixel=_PER_PIXEL, min_confidence=min_confidence)
    category = np.array([ids[name] for name in model.classes], dtype=np.int64)
    code = category[model.objects.class_code[found.row]]
    left_top, right_bottom = found.edges[:, :2], found.edges[:, 2:]
    box = np.hstack((left_top, right_bottom - left_top)) / _PER_PIXEL
    start = np.searchsorted(model.objects.sample[found.row], np.arange(len(model.inferred) + 1))

    def of(sample: int) -> list[Detection]:
        here = slice(start[sample], start[sample + 1])
        columns = zip(code[here].tolist(), box[here].tolist(), found.confidence[here].tolist(), strict=True)
        return [Detection(category_id, (x, y, w, h), score) for category_id, (x, y, w, h), score in columns]

    return Singletons(of, {"objects": len(found.row), **found.left_out})


Kind = tuple[str, Callable[[ModelPredictions, VideoInfo, dict[str, int], float | None], Singletons]]

# Kind of prediction -> LightlyOne's task_type, and the function that writes it. A model that
# found nothing at all (NONE) is taken as a detector.
KINDS: dict[TaskType, Kind] = {
    TaskType.OBJECT_DETECTION: ("object-detection", object_detection),
    TaskType.GAZE: ("object-detection", object_detection),
    TaskType.NONE: ("object-detection", object_detection),
}
