"""LightlyOne's prediction singletons, one struct per kind of task, and how a model's are handed out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from tasks.domain.predictions import Int64, ModelPredictions, Objects
from tasks.domain.video import VideoInfo


class Bounds(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A box in pixels of the frame as PyAV decodes it, not turned; ``x``, ``y`` is its top left corner.

    An array in JSON; no tuple, because the garbage collector would look after each of them.
    """

    x: float
    y: float
    width: float
    height: float

    def enclosing(self, extent: tuple[int, int, int, int]) -> Bounds:
        """The least box around this one and a mask's left, top, right, bottom."""
        left, top, right, bottom = extent
        x, y = min(self.x, left), min(self.y, top)
        right_most, lowest = max(self.x + self.width, right), max(self.y + self.height, bottom)
        return Bounds(x, y, round(right_most - x, 2), round(lowest - y, 2))


class Detection(msgspec.Struct, frozen=True, gc=False):
    """One detected object.

    Attributes:
        category_id: Id in the task's schema.
        bbox: Where it is.
        score: In [0, 1].
    """

    category_id: int
    bbox: Bounds
    score: float


class Classification(msgspec.Struct, frozen=True, gc=False):
    """What a frame is.

    Attributes:
        category_id: Its class.
        probabilities: One for each category of the schema, in the order of their ids; they add up to 1.
    """

    category_id: int
    probabilities: list[float]


class Skeleton(msgspec.Struct, frozen=True, gc=False):
    """One object by its keypoints; ``keypoints`` is x, y, score of each slot of its category, 0, 0, 0 unseen."""

    category_id: int
    keypoints: list[float]
    score: float
    bbox: Bounds


class Instance(msgspec.Struct, frozen=True, gc=False):
    """One object by its mask; ``bbox`` encloses it."""

    category_id: int
    segmentation: list[int]
    score: float
    bbox: Bounds


class Segment(msgspec.Struct, frozen=True, gc=False):
    """All pixels of one class."""

    category_id: int
    segmentation: list[int]
    score: float


Singleton = Detection | Classification | Skeleton | Instance | Segment


class FrameFile(msgspec.Struct, frozen=True, gc=False):
    """What stands in one frame's (or image's) file."""

    file_name: str
    predictions: Sequence[Singleton]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a model's predictions are written for.

    Attributes:
        info: The video.
        ids: Class name -> category id, for all categories of the task's schema.
        keypoints: Class name -> names of its keypoint slots, in their order.
        min_confidence: What is weaker is left out.
    """

    info: VideoInfo
    ids: Mapping[str, int]
    keypoints: Mapping[str, Sequence[str]] = field(default_factory=dict)
    min_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Singletons:
    """What a model says of each sample, made when it is asked for.

    Attributes:
        of: Sample -> its singletons; empty where the model looked and found nothing. Ask in
            increasing order: a few samples at a time are kept.
        counts: What was taken and what was left out so far, for the receipt.
        warnings: What was approximated, in sentences.
    """

    of: Callable[[int], Sequence[Singleton]]
    counts: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)


class InWindows:
    """Hands out the objects of each sample, a window of samples at a time, so that memory stays flat.

    Args:
        model: All predictions.
        rows: Objects in a window at most, unless one sample has more.
        make: A window's model (its samples and rows counted from 0) -> singletons of each sample.
    """

    def __init__(
        self, model: ModelPredictions, rows: int, make: Callable[[ModelPredictions], list[Sequence[Singleton]]]
    ) -> None:
        self._model = model
        self._start: Int64 = np.searchsorted(model.objects.sample, np.arange(len(model.inferred) + 1))
        self._rows = rows
        self._make = make
        self._made: list[Sequence[Singleton]] = []
        self._first = 0

    def of(self, sample: int) -> Sequence[Singleton]:
        """Singletons of a sample."""
        if not self._first <= sample < self._first + len(self._made):
            most = self._start[sample] + self._rows
            end = max(int(np.searchsorted(self._start, most, "right")) - 1, sample + 1)
            # Many samples without objects are not made all at once either.
            self._first, self._made = sample, []
            self._made = self._make(window(self._model, self._start, sample, min(end, sample + self._rows)))
        return self._made[sample - self._first]


def window(model: ModelPredictions, start: Int64, first: int, end: int) -> ModelPredictions:
    """The model as if only samples from ``first`` to before ``end`` had been looked at; nothing is copied.

    Args:
        start: [F + 1] first row of each sample.
    """
    objects, a, b = model.objects, int(start[first]), int(start[end])
    polygon, keypoint = objects.polygon_start[a : b + 1], objects.keypoint_start[a : b + 1]
    part = Objects(
        sample=objects.sample[a:b] - np.int32(first),
        box=objects.box[a:b],
        confidence=objects.confidence[a:b],
        class_code=objects.class_code[a:b],
        track=objects.track[a:b],
        polygon=objects.polygon[polygon[0] : polygon[-1]],
        polygon_start=polygon - polygon[0],
        rle={row - a: objects.rle[row] for row in range(a, b) if row in objects.rle} if objects.rle else {},
        keypoint=objects.keypoint[keypoint[0] : keypoint[-1]],
        keypoint_class=objects.keypoint_class[keypoint[0] : keypoint[-1]],
        keypoint_start=keypoint - keypoint[0],
    )
    return replace(model, inferred=model.inferred[first:end], image_size=model.image_size[first:end], objects=part)
