"""How predictions become annotations, as a route's settings say it. Values only, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import TaskType


class Kind(StrEnum):
    """What a prediction can become.

    The first five mark objects and follow them through time; a model or a class may become several
    of them. The last three are questions about frames or the whole video, one per model.
    """

    BOX = "box"
    POINT = "point"  # the middle of the box
    OUTLINE = "outline"  # the mask's, as a closed polyline
    POINTS = "points"  # one for each keypoint or landmark
    DIRECTION = "direction"  # of a gaze, as a line from the middle of the face
    RADIO = "radio"
    CHECKLIST = "checklist"
    TEXT = "text"

    @property
    def is_tool(self) -> bool:
        """Whether it marks objects; else it is a question."""
        return self not in QUESTIONS


QUESTIONS = frozenset({Kind.RADIO, Kind.CHECKLIST, Kind.TEXT})

_OBJECT = (Kind.BOX, Kind.POINT, Kind.CHECKLIST, Kind.TEXT)
# What each kind of model can become, its default first.
POSSIBLE: Mapping[TaskType, tuple[tuple[Kind, ...], tuple[Kind, ...]]] = {
    TaskType.OBJECT_DETECTION: ((Kind.BOX,), _OBJECT),
    TaskType.INSTANCE_SEGMENTATION: ((Kind.BOX,), (*_OBJECT, Kind.OUTLINE)),
    TaskType.KEYPOINT_DETECTION: ((Kind.BOX, Kind.POINTS), (*_OBJECT, Kind.POINTS)),
    TaskType.GAZE: ((Kind.BOX, Kind.POINTS), (*_OBJECT, Kind.POINTS, Kind.DIRECTION)),
    TaskType.CLASSIFICATION: ((Kind.RADIO,), (Kind.RADIO, Kind.CHECKLIST, Kind.TEXT)),
    TaskType.MULTILABEL_CLASSIFICATION: ((Kind.CHECKLIST,), (Kind.CHECKLIST, Kind.RADIO, Kind.TEXT)),
    TaskType.SEMANTIC_SEGMENTATION: ((Kind.CHECKLIST,), (Kind.CHECKLIST,)),
    TaskType.EMBEDDING: ((Kind.RADIO,), (Kind.RADIO,)),
    # Nothing was found in this video, and nobody knows what would have been.
    TaskType.NONE: ((Kind.BOX,), tuple(Kind)),
}
# Models whose predictions are objects with a place.
BOXED = frozenset(task for task, (default, _) in POSSIBLE.items() if Kind.BOX in default)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassStyle:
    """What one class becomes, where that is not what its model's classes become.

    Attributes:
        tools: Tool -> name of the feature in the ontology. ``POINTS`` has "": its features are
            named one by one.
        keypoints: Name of a keypoint -> name of its feature.
    """

    tools: Mapping[Kind, str]
    keypoints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Embeddings of text prompts, to compare CLIP's embeddings of frames with.

    Attributes:
        names: The answers.
        vectors: float64 [names, D], each of length 1.
    """

    names: tuple[str, ...]
    vectors: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """A question that is asked of each box at each keyframe.

    Attributes:
        of: What answers it: ``confidence``, ``class``, ``direction`` (of a gaze), or the key of
            another model of the same job.
        name: The question's name in the ontology.
        bands: Bounds between the answers of ``confidence``, increasing.
        many: Another model may give several answers: a checklist instead of a radio.
    """

    of: str
    name: str
    bands: tuple[float, ...] = (0.5, 0.8)
    many: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStyle:
    """What one model's predictions become.

    Attributes:
        kinds: Empty for the default of the model's kind.
        silent: It makes no annotations itself; other models' boxes may still be told of by it.
        name: Name of the question that its classes answer; "" for the model's key.
        per_video: The question is answered once for the whole video, not for ranges of frames.
        separator: Class names are paths that are split here, and their parts answers to nested
            questions; "" for plain names.
        questions: Path of an answer -> name of the question below it.
        classes: Class -> its name in the ontology, or what it becomes; before the route's.
        omit: Classes that are left out.
        keypoints: Name of a keypoint -> name of its feature.
        vertices: Corners of an outline.
        details: Asked of each box.
        prompts: For embeddings.
        temperature: Divides cosines before the softmax.
        min_share: Part of the picture that a class must cover to count as there (label maps).
        min_confidence: Instead of the route's.
    """

    kinds: tuple[Kind, ...] = ()
    silent: bool = False
    name: str = ""
    per_video: bool = False
    separator: str = ""
    questions: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, str | ClassStyle] = field(default_factory=dict)
    omit: frozenset[str] = frozenset()
    keypoints: Mapping[str, str] = field(default_factory=dict)
    vertices: int = 32
    details: tuple[Detail, ...] = ()
    prompts: Prompts | None = None
    temperature: float = 0.01
    min_share: float = 0.01
    min_confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How predictions become annotations.

    Attributes:
        min_confidence: Predictions under it are left out; Labelbox has no place for confidence
            on a video's objects.
        max_gap: An object that is looked for and missed for longer gets a new segment.
        keyframe_tolerance: Pixels by which a coordinate may be off at a frame whose keyframe is
            left to Labelbox' interpolation.
        classes: Class -> its name in the ontology, or what it becomes; others keep their name.
        omit: Classes that are left out.
        models: Model key -> what is special about it.
    """

    min_confidence: float | None = None
    max_gap: timedelta = timedelta(seconds=2)
    keyframe_tolerance: float = 2.0
    classes: Mapping[str, str | ClassStyle] = field(default_factory=dict)
    omit: frozenset[str] = frozenset()
    models: Mapping[str, ModelStyle] = field(default_factory=dict)
