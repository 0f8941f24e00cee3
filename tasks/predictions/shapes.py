"""What one frame of each kind of model looks like in a results JSON, as msgspec types.

Sources: the video inference JSON page (boxes, gaze) and the response entities of Roboflow's open
source inference server (the rest). Keys that are not named here are ignored; a ``null`` frame
means "not inferred". Decode with ``strict=False``: numbers may come as text.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tasks.domain.predictions import TaskType

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
# -1 is how trackers say "not confirmed yet".
TrackerId = Annotated[int, msgspec.Meta(ge=-1, le=2**53)]


class ImageSize(msgspec.Struct, gc=False):
    """Size of the inferred image; parts that are not known are null."""

    width: Natural | None = None
    height: Natural | None = None


class Point(msgspec.Struct, gc=False):
    """A corner of a polygon, or a landmark of a face, in pixels."""

    x: float
    y: float


class Keypoint(msgspec.Struct, gc=False):
    """A point of a skeleton; ones that the model is unsure of are left out of the list."""

    x: float
    y: float
    confidence: float
    name: str | None = msgspec.field(name="class", default=None)
    class_id: int | None = None


class RunLengths(msgspec.Struct, gc=False):
    """A mask as COCO writes it: column by column, counts as text (compressed) or numbers."""

    size: tuple[Natural, Natural]
    counts: str | list[Natural]


class Detection(msgspec.Struct, gc=False):
    """A box (centre and size in pixels) with what some models add to it."""

    x: float
    y: float
    width: float
    height: float
    confidence: float
    name: str = msgspec.field(name="class")
    class_id: int | None = None
    tracker_id: TrackerId | None = None
    points: list[Point] | None = None
    rle: RunLengths | None = None
    keypoints: list[Keypoint] | None = None


class DetectionFrame(msgspec.Struct, gc=False):
    """Object detection, instance segmentation and keypoint detection."""

    predictions: list[Detection]
    image: ImageSize | None = None


class Face(msgspec.Struct, gc=False):
    """The face that a gaze belongs to."""

    x: float
    y: float
    width: float
    height: float
    confidence: float
    name: str = msgspec.field(name="class", default="face")
    class_id: int | None = None
    tracker_id: TrackerId | None = None
    landmarks: list[Point] | None = None


class Gaze(msgspec.Struct, gc=False):
    """Where a face looks, in radians; the landmarks stand in the face or beside it."""

    face: Face
    yaw: float
    pitch: float
    landmarks: list[Point] | None = None


class GazeFrame(msgspec.Struct, gc=False):
    """Gaze detection."""

    predictions: list[Gaze]
    image: ImageSize | None = None


class Label(msgspec.Struct, gc=False):
    """A class of the whole frame."""

    confidence: float
    name: str = msgspec.field(name="class")
    class_id: int | None = None
    x: None = None  # so that a box is never taken for a label


class Score(msgspec.Struct, gc=False):
    """A class of the whole frame whose name is the key."""

    confidence: float
    class_id: int | None = None


class LabelFrame(msgspec.Struct, gc=False):
    """Classification: a list with a top class, or (multi-label) a mapping with chosen classes."""

    predictions: list[Label] | dict[str, Score]
    top: str | None = None
    predicted_classes: list[str] | None = None
    image: ImageSize | None = None


class LabelMap(msgspec.Struct, gc=False):
    """Semantic segmentation: base64 PNGs, and pixel value (as text) -> class name."""

    segmentation_mask: str
    class_map: dict[str, str]
    confidence_mask: str | None = None


class LabelMapFrame(msgspec.Struct, gc=False):
    """Semantic segmentation."""

    predictions: LabelMap
    image: ImageSize | None = None


class NestedEmbedding(msgspec.Struct, gc=False):
    """An embedding as the image API gives it."""

    embeddings: list[float | list[float]]
    image: ImageSize | None = None


# The hosted video service gives the bare vector.
EmbeddingFrame = list[float | list[float]] | NestedEmbedding


def task_of(frame: Any) -> TaskType | None:
    """Recognise the kind of model from one frame's JSON; None if the frame does not tell.

    A frame in which nothing was found tells little, and of a box one cannot know whether the
    next will have a mask: masks and keypoints are looked for in the whole video elsewhere.
    """
    if isinstance(frame, list):
        return TaskType.EMBEDDING
    if not isinstance(frame, dict):
        return None
    if "embeddings" in frame:
        return TaskType.EMBEDDING
    found = frame.get("predictions")
    if isinstance(found, dict):
        return TaskType.SEMANTIC_SEGMENTATION if "segmentation_mask" in found else TaskType.MULTILABEL_CLASSIFICATION
    if "top" in frame:
        return TaskType.CLASSIFICATION
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        return None
    if "face" in found[0]:
        return TaskType.GAZE
    label = "class" in found[0] and not found[0].keys() & {"x", "y", "width", "height"}
    return TaskType.CLASSIFICATION if label else TaskType.OBJECT_DETECTION
