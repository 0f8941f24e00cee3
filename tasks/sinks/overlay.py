"""What to draw of one model's predictions on any frame of the video: pure arithmetic on columns.

Only some frames were inferred. Between them a box is where interpolation puts it, and its mask
and keypoints are those of the detection it comes from, moved and stretched along with the box.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from tasks.domain.predictions import Float32, Int32, Int64, ModelPredictions, Objects
from tasks.domain.video import VideoInfo
from tasks.sinks.draw import Shape
from tasks.sinks.geometry import place_boxes

# Points that a model is less sure of are mostly guesses at hidden joints.
_SURE_POINT = 0.3


class BoxesBetween(Protocol):
    """Where a model's objects are on any frame."""

    def at(self, frame_index: int) -> tuple[Int64, Float32]:
        """Give the objects of one frame.

        Returns:
            int64 [n], rows of the model's ``objects`` that the boxes come from (on a frame
            between samples: the nearest in time), and float32 [n, 4], their boxes there as
            centre x, centre y, width, height.
        """
        ...


# From a model and the frame index of each sample.
Interpolate = Callable[[ModelPredictions, Int64], BoxesBetween]


class Overlay:
    """One model's predictions, placed on the upright picture.

    Args:
        frame_index: int64 [F], frame of each sample.
        min_confidence: Detections and labels below it are not drawn.

    Raises:
        DeliveryFailed: A box is no box, or the inferred images do not fit the video.
    """

    def __init__(
        self,
        model: ModelPredictions,
        frame_index: Int64,
        info: VideoInfo,
        interpolate: Interpolate,
        min_confidence: float | None,
    ) -> None:
        self._model, self._info, self._frame_index = model, info, frame_index
        self._floor = min_confidence or 0.0
        objects = model.objects
        self._box = _placed(model, info, objects.sample, objects.box)
        self._polygon = _placed_points(model, info, _owners(objects, objects.polygon_start), objects.polygon)
        self._keypoint = _placed_points(model, info, _owners(objects, objects.keypoint_start), objects.keypoint[:, :2])
        self._row = np.flatnonzero(objects.confidence >= np.float32(self._floor))
        shown = replace(
            model,
            objects=_boxes_alone(objects, self._row, self._box[self._row]),
            image_size=np.broadcast_to(np.array(info.display_size, np.int32), model.image_size.shape),
        )
        self._boxes = interpolate(shown, frame_index)
        self._labelled = frame_index[model.inferred] if len(model.labels) else frame_index[:0]
        self._mask_outlines = lru_cache(maxsize=256)(self._decoded_mask)
        self.bad_masks: set[int] = set()

    @property
    def objects(self) -> int:
        """How many detections are shown."""
        return len(self._row)

    @property
    def tracks(self) -> int:
        """How many objects they are, followed through time."""
        tracks = self._model.objects.track[self._row]
        return len(np.unique(tracks[tracks >= 0]))

    def shapes(self, frame: int) -> list[Shape]:
        """Everything to draw on one frame."""
        rows, boxes = self._boxes.at(frame)
        return [self._shape(int(self._row[row]), box) for row, box in zip(rows, boxes, strict=True)]

    def caption(self, frame: int) -> str:
        """Classes of the whole frame, of the sample nearest in time (the earlier of two), or ""."""
        if not len(self._labelled):
            return ""
        after = int(np.searchsorted(self._labelled, frame))
        if after == len(self._labelled) or (
            after and frame - self._labelled[after - 1] <= self._labelled[after] - frame
        ):
            after -= 1
        labels = self._model.labels
        sample = np.searchsorted(self._frame_index, self._labelled[after])
        first, last = np.searchsorted(labels.sample, (sample, sample + 1))
        return " · ".join(
            f"{self._model.classes[labels.class_code[row]]} {labels.confidence[row]:.2f}"
            for row in range(first, last)
            if labels.chosen[row] and labels.confidence[row] >= np.float32(self._floor)
        )

    def _shape(self, row: int, box: Float32) -> Shape:
        objects = self._model.objects
        track, code = int(objects.track[row]), int(objects.class_code[row])
        name = f"{self._model.classes[code]} {objects.confidence[row]:.2f}"
        points = slice(objects.keypoint_start[row], objects.keypoint_start[row + 1])
        sure = objects.keypoint[points, 2] >= _SURE_POINT
        x, y, width, height = box.tolist()
        return Shape(
            edges=(x - width / 2, y - height / 2, x + width / 2, y + height / 2),
            label=f"{name} #{track}" if track >= 0 else name,
            colour_key=track if track >= 0 else code,
            outlines=[_moved(outline, self._box[row], box) for outline in self._outlines(row)],
            points=_moved(self._keypoint[points][sure], self._box[row], box),
        )

    def _outlines(self, row: int) -> Sequence[Float32]:
        start, end = self._model.objects.polygon_start[row : row + 2]
        if end > start:
            return [self._polygon[start:end]]
        return self._mask_outlines(row) if row in self._model.objects.rle else ()

    def _decoded_mask(self, row: int) -> Sequence[Float32]:
        """The outlines of a run-length mask; one that does not fit its own size is noted and not drawn."""
        import supervision

        height, width, counts = self._model.objects.rle[row]
        try:
            mask = supervision.rle_to_mask(counts, (width, height))
        except (ValueError, IndexError):
            self.bad_masks.add(row)
            return ()
        sample = self._model.objects.sample[row]
        size = self._model.image_size[sample]
        scale = np.where(size > 0, size, (width, height)) / (width, height)
        return [
            _placed_points(self._model, self._info, np.full(len(outline), sample, np.int32), outline * scale)
            for outline in supervision.mask_to_polygons(mask)
        ]


def _placed(model: ModelPredictions, info: VideoInfo, sample: Int32, box: Float32) -> Float32:
    """Bring boxes of the inferred images to the upright picture; both as centre and size."""
    count = len(sample)
    columns = replace(
        _boxes_alone(model.objects, np.zeros(0, np.int64), box[:0]),
        sample=sample,
        box=box,
        confidence=np.zeros(count, np.float32),
    )
    edges = place_boxes(replace(model, objects=columns), info, upright=True).edges
    low, high = edges[:, :2], edges[:, 2:]
    return np.hstack(((low + high) / 2, high - low)).astype(np.float32)


def _placed_points(model: ModelPredictions, info: VideoInfo, sample: Int32, points: Float32) -> Float32:
    """The same for points: boxes without extent."""
    if not len(points):
        return np.zeros((0, 2), np.float32)
    box = np.hstack((points, np.zeros_like(points))).astype(np.float32)
    return _placed(model, info, sample, box)[:, :2]


def _owners(objects: Objects, start: Int64) -> Int32:
    """The sample of each point, from where each row's points start."""
    return np.repeat(objects.sample, np.diff(start))


def _boxes_alone(objects: Objects, row: Int64, box: Float32) -> Objects:
    """Some rows, with these boxes and without masks and points."""
    nothing = np.zeros(len(row) + 1, np.int64)
    return Objects(
        sample=objects.sample[row],
        box=box,
        confidence=objects.confidence[row],
        class_code=objects.class_code[row],
        track=objects.track[row],
        polygon=np.zeros((0, 2), np.float32),
        polygon_start=nothing,
        rle={},
        keypoint=np.zeros((0, 3), np.float32),
        keypoint_class=np.zeros(0, np.int32),
        keypoint_start=nothing,
    )


def _moved(points: Float32, origin: Float32, box: Float32) -> Float32:
    """Carry points along as their box goes from ``origin`` to ``box``."""
    if np.array_equal(origin, box):
        return points
    stretch = np.where(origin[2:] > 0, box[2:] / np.maximum(origin[2:], 1e-6), 1.0)
    return ((points - origin[:2]) * stretch + box[:2]).astype(np.float32)
