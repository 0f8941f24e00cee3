"""Parsed results as columns: what the parser fills, the tracker extends and every route reads.

Coordinates are pixels of the *inferred* image (``image_size``), which may be smaller than the
video's frame or turned by 90 degrees against it; routes scale to the frame they write for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


class TaskType(StrEnum):
    """What a model predicts; values as Roboflow spells its inference types where it has one."""

    OBJECT_DETECTION = "object-detection"
    INSTANCE_SEGMENTATION = "instance-segmentation"
    KEYPOINT_DETECTION = "keypoint-detection"
    CLASSIFICATION = "classification"
    MULTILABEL_CLASSIFICATION = "multilabel-classification"
    SEMANTIC_SEGMENTATION = "semantic-segmentation"
    EMBEDDING = "clip-embed-image"
    GAZE = "gaze-detection"
    NONE = "none"  # nothing was ever predicted, so the results do not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """N detected things, sorted by ``sample``; every column has N rows.

    Attributes:
        sample: int32 [N], position in ``Predictions.frame_index``, not a frame index itself.
        box: float32 [N, 4], centre x, centre y, width, height in pixels of the inferred image.
        confidence: float32 [N] in [0, 1].
        class_code: int32 [N], index into ``ModelPredictions.classes``.
        track: int64 [N], id of the object through time; -1 where none is assigned.
        polygon: float32 [P, 2] outlines of all rows, one after the other; row i owns
            ``polygon[polygon_start[i]:polygon_start[i + 1]]`` (empty where it has none).
        polygon_start: int64 [N + 1].
        rle: row -> (height, width, counts) of a COCO column-major mask, for rows that have one
            instead of a polygon; counts as text (compressed) or a list of ints.
        keypoint: float32 [K, 3] x, y, confidence; row i owns
            ``keypoint[keypoint_start[i]:keypoint_start[i + 1]]``. Gaze: the face's landmarks.
        keypoint_class: int32 [K], index into ``ModelPredictions.keypoint_classes``.
        keypoint_start: int64 [N + 1].
        gaze: float32 [N, 2] yaw, pitch in radians, or None when the model is not gaze.
    """

    sample: Int32
    box: Float32
    confidence: Float32
    class_code: Int32
    track: Int64
    polygon: Float32
    polygon_start: Int64
    rle: dict[int, tuple[int, int, str | list[int]]]
    keypoint: Float32
    keypoint_class: Int32
    keypoint_start: Int64
    gaze: Float32 | None = None

    def __len__(self) -> int:
        return len(self.sample)

    def where(self, kept: Bool) -> Objects:
        """Only the rows that are kept (bool [N]), in their order."""
        polygons, keypoints = np.diff(self.polygon_start), np.diff(self.keypoint_start)
        shown = np.repeat(kept, keypoints)
        return Objects(
            sample=self.sample[kept],
            box=self.box[kept],
            confidence=self.confidence[kept],
            class_code=self.class_code[kept],
            track=self.track[kept],
            polygon=self.polygon[np.repeat(kept, polygons)],
            polygon_start=np.concatenate(([0], np.cumsum(polygons[kept]))),
            rle={row: self.rle[old] for row, old in enumerate(np.flatnonzero(kept).tolist()) if old in self.rle},
            keypoint=self.keypoint[shown],
            keypoint_class=self.keypoint_class[shown],
            keypoint_start=np.concatenate(([0], np.cumsum(keypoints[kept]))),
            gaze=None if self.gaze is None else self.gaze[kept],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """M class labels of whole frames (classification), sorted by ``sample``.

    Attributes:
        sample: int32 [M], position in ``Predictions.frame_index``.
        class_code: int32 [M], index into ``ModelPredictions.classes``.
        confidence: float32 [M] in [0, 1].
        chosen: bool [M], True for the top class (single-label) or a class that the service
            lists among ``predicted_classes`` (multi-label).
    """

    sample: Int32
    class_code: Int32
    confidence: Float32
    chosen: Bool

    def __len__(self) -> int:
        return len(self.sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPredictions:
    """Everything that one model said about one video.

    Attributes:
        model: The model's key in the results JSON (project slug, ``clip`` or ``gaze``).
        task: What kind of predictions these are.
        inferred: bool [F], False where the service gave ``null``: not looked at, which is not
            the same as looked at and empty.
        image_size: int32 [F, 2] width, height of the inferred image; 0, 0 where not given.
        classes: Class names, first seen first.
        class_ids: The service's own id for each of ``classes``; -1 where it gave none.
        keypoint_classes: Names of keypoint slots, first seen first; two classes of objects may
            each have a slot of one name.
        keypoint_ids: The service's own number of each of ``keypoint_classes`` within its skeleton;
            -1 where it gave none.
        objects: Detections, masks, keypoints, faces.
        labels: Whole-frame classes.
        embedding: float32 [F, D] (rows of frames that were not inferred are NaN), or None.
        frames: For semantic segmentation only: sample -> the frame's raw prediction mapping
            (base64 label map, class map, confidence mask).
    """

    model: str
    task: TaskType
    inferred: Bool
    image_size: Int32
    classes: tuple[str, ...]
    class_ids: tuple[int, ...]
    keypoint_classes: tuple[str, ...]
    objects: Objects
    labels: Labels
    embedding: Float32 | None
    frames: dict[int, dict[str, Any]]
    keypoint_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """The results of one job.

    Attributes:
        frame_index: int64 [F], 0-based index of each inferred frame in decode order.
        time_s: float64 [F], presentation time in seconds from the first frame; derived from
            index and frame rate where the service left it out, NaN when neither is known.
        models: One entry per model, in the order of the results JSON.
    """

    frame_index: Int64
    time_s: NDArray[np.float64]
    models: tuple[ModelPredictions, ...]

    def __len__(self) -> int:
        return len(self.frame_index)
