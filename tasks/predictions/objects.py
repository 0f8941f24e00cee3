"""Grow the columns of detected objects, a frame at a time. Checks values; shapes were checked before.

Rows go into one packed buffer of 32 bytes each: a few times faster than an array per column, and
no Python number outlives its frame.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence

import numpy as np

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import Bool, Float32, Int32, Int64, ModelPredictions, Objects, TaskType
from tasks.predictions.columns import Names, Ragged, assemble, checked_confidences, require_finite
from tasks.predictions.shapes import Detection, DetectionFrame, Gaze, GazeFrame, Keypoint, RunLengths

_RECORD = np.dtype([("box", "<f4", (4,)), ("confidence", "<f4"), ("code", "<i4"), ("track", "<i8")])
_POINT = np.dtype([("xy", "<f4", (2,))])
_KEYPOINT = np.dtype([("xyc", "<f4", (3,)), ("code", "<i4")])
_pack_record = struct.Struct("<5fiq").pack
_pack_point = struct.Struct("<2f").pack
_pack_keypoint = struct.Struct("<3fi").pack


class DetectionReader:
    """Reads a model that finds boxes, with or without masks and keypoints.

    Args:
        model: Its name in messages and in the predictions.
        samples: Length of its list.
        task: Its kind where that is known; else it follows from what the boxes come with.
    """

    shape = DetectionFrame

    def __init__(self, model: str, samples: int, task: TaskType | None) -> None:
        self._task = task
        self._rows = _Rows(model, samples)

    def add(self, sample: int, frame: DetectionFrame) -> None:
        """Take the next frame.

        Raises:
            ResultInvalid: A mask does not fit its own size.
            OverflowError: A number fits no column.
        """
        self._rows.add(sample, frame.predictions)

    def finish(self, inferred: Bool, image_size: Int32) -> ModelPredictions:
        """Give out the columns.

        Raises:
            ResultInvalid: A coordinate is not finite, a size negative, a confidence not in [0, 1].
        """
        objects = self._rows.finish()
        return self._rows.assemble(self._task or _task_of(objects), inferred, image_size, objects)


class GazeReader:
    """Reads the gaze model: faces as boxes, their landmarks as keypoints, and where they look.

    Arguments, methods and errors are those of :class:`DetectionReader`.
    """

    shape = GazeFrame

    def __init__(self, model: str, samples: int, task: TaskType | None) -> None:
        self._task = task or TaskType.GAZE
        self._rows = _Rows(model, samples, box_path=".face", points_path=".face.landmarks")
        self._angles = array("f")

    def add(self, sample: int, frame: GazeFrame) -> None:
        """Take the next frame."""
        self._rows.add(sample, [_face(gaze) for gaze in frame.predictions])
        for gaze in frame.predictions:
            self._angles.extend((gaze.yaw, gaze.pitch))

    def finish(self, inferred: Bool, image_size: Int32) -> ModelPredictions:
        """Give out the columns."""
        angles = np.frombuffer(self._angles, np.float32).reshape(-1, 2)
        require_finite(angles, ("yaw", "pitch"), self._rows.path)
        return self._rows.assemble(self._task, inferred, image_size, self._rows.finish(angles))


def _task_of(objects: Objects) -> TaskType:
    """Tell the kind of model from everything it found."""
    if not len(objects):
        return TaskType.NONE
    if len(objects.keypoint):
        return TaskType.KEYPOINT_DETECTION
    return TaskType.INSTANCE_SEGMENTATION if len(objects.polygon) or objects.rle else TaskType.OBJECT_DETECTION


def _face(gaze: Gaze) -> Detection:
    """A face as a box whose keypoints are its landmarks, which have no confidence of their own."""
    face = gaze.face
    landmarks = face.landmarks or gaze.landmarks or ()
    return Detection(
        x=face.x,
        y=face.y,
        width=face.width,
        height=face.height,
        confidence=face.confidence,
        name=face.name,
        class_id=face.class_id,
        tracker_id=face.tracker_id,
        keypoints=[Keypoint(p.x, p.y, 1.0, f"landmark_{index}", index) for index, p in enumerate(landmarks)],
    )


class _Rows:
    """The rows of :class:`Objects`, growing."""

    def __init__(self, model: str, samples: int, *, box_path: str = "", points_path: str = ".keypoints") -> None:
        self._model = model
        self._box_path = box_path
        self._points_path = points_path
        self._names = Names()
        self._keypoint_slots: dict[tuple[str, int], int] = {}
        self._counts = array("i", bytes(4 * samples))
        self._records = bytearray()
        self._polygon = Ragged(_POINT)
        self._keypoint = Ragged(_KEYPOINT)
        self._rle: dict[int, tuple[int, int, str | list[int]]] = {}

    def add(self, sample: int, predictions: Sequence[Detection]) -> None:
        known, packed = self._names.codes.get, []
        for found in predictions:
            code = known(found.name)
            if code is None:
                code = self._names.add(found.name, found.class_id)
            track = -1 if found.tracker_id is None else found.tracker_id
            packed.append(_pack_record(found.x, found.y, found.width, found.height, found.confidence, code, track))
            if found.points or found.keypoints or found.rle is not None:
                self._add_extras(sample, len(packed) - 1, found)
        self._records += b"".join(packed)
        self._counts[sample] = len(packed)

    def _add_extras(self, sample: int, index: int, found: Detection) -> None:
        row = len(self._records) // _RECORD.itemsize + index
        if found.points:
            self._polygon.add(row, b"".join([_pack_point(point.x, point.y) for point in found.points]))
        elif found.rle is not None:
            self._rle[row] = _run_lengths(found.rle, f"{self._model}[{sample}].predictions[{index}].rle")
        if found.keypoints:
            self._keypoint.add(row, b"".join([self._packed(point) for point in found.keypoints]))

    def _packed(self, point: Keypoint) -> bytes:
        name = str(point.class_id) if point.name is None else point.name
        slot = (name, -1 if point.class_id is None else point.class_id)
        code = self._keypoint_slots.setdefault(slot, len(self._keypoint_slots))
        return _pack_keypoint(point.x, point.y, point.confidence, code)

    def path(self, row: int) -> str:
        """Where a row stood in the JSON."""
        ends = np.cumsum(np.frombuffer(self._counts, np.int32))
        sample = int(np.searchsorted(ends, row, "right"))
        return f"{self._model}[{sample}].predictions[{row - ends[sample] + self._counts[sample]}]"

    def finish(self, gaze: Float32 | None = None) -> Objects:
        records = np.frombuffer(self._records, _RECORD)
        polygon, polygon_start = self._polygon.finish(len(records))
        keypoint, keypoint_start = self._keypoint.finish(len(records))
        box = np.ascontiguousarray(records["box"])
        self._check(box, polygon["xy"], polygon_start, keypoint["xyc"], keypoint_start)
        return Objects(
            sample=np.repeat(np.arange(len(self._counts), dtype=np.int32), self._counts),
            box=box,
            confidence=checked_confidences(records["confidence"], self._path_of_box),
            class_code=np.ascontiguousarray(records["code"]),
            track=np.ascontiguousarray(records["track"]),
            polygon=polygon["xy"],
            polygon_start=polygon_start,
            rle=self._rle,
            keypoint=np.ascontiguousarray(keypoint["xyc"]),
            keypoint_class=np.ascontiguousarray(keypoint["code"]),
            keypoint_start=keypoint_start,
            gaze=gaze,
        )

    def assemble(self, task: TaskType, inferred: Bool, image_size: Int32, objects: Objects) -> ModelPredictions:
        return assemble(
            self._model,
            task,
            inferred,
            image_size,
            names=self._names,
            keypoint_slots=self._keypoint_slots,
            objects=objects,
        )

    def _path_of_box(self, row: int) -> str:
        return self.path(row) + self._box_path

    def _check(self, box: Float32, polygon: Float32, polygon_start: Int64, keypoint: Float32, start: Int64) -> None:
        require_finite(box, ("x", "y", "width", "height"), self._path_of_box)
        negative = np.argwhere(box[:, 2:] < 0)
        if len(negative):
            row, column = negative[0].tolist()
            name = ("width", "height")[column]
            raise ResultInvalid(f"{self._path_of_box(row)}.{name}: expected a size, got {box[row, 2 + column]}")
        self._check_points(polygon, polygon_start, ".points")
        self._check_points(keypoint, start, self._points_path)

    def _check_points(self, points: Float32, start: Int64, within: str) -> None:
        def path(index: int) -> str:
            row = int(np.searchsorted(start, index, "right")) - 1
            return f"{self.path(row)}{within}[{index - start[row]}]"

        require_finite(points[:, :2], ("x", "y"), path)
        if points.shape[1] == 3:
            points[:, 2] = checked_confidences(points[:, 2], path)


def _run_lengths(mask: RunLengths, path: str) -> tuple[int, int, str | list[int]]:
    """Take a mask whose counts, where they are numbers, cover it exactly."""
    height, width = mask.size
    if isinstance(mask.counts, list) and sum(mask.counts) != height * width:
        raise ResultInvalid(f"{path}.counts: {sum(mask.counts)} pixels, where size says {height} x {width}")
    return height, width, mask.counts
