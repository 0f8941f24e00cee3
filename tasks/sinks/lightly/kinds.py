"""Which of LightlyOne's kinds of task each kind of prediction becomes; a new one is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.domain.predictions import Bool, ModelPredictions, TaskType
from tasks.domain.video import VideoInfo
from tasks.sinks.lightly.objects import instance_segmentation, keypoint_detection, looked_at, object_detection
from tasks.sinks.lightly.singletons import Setting, Singletons
from tasks.sinks.lightly.whole_frames import classification, classified, mapped, semantic_segmentation


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task.

    Attributes:
        task_type: What LightlyOne calls it.
        speaks: Says which samples' frames get a file, and refuses what does not fit the video;
            takes the predictions, the video and the threshold.
        write: Turns a model's predictions into singletons.
        fixed: Its files hold a number for each category: the list of categories is for good.
    """

    task_type: str
    speaks: Callable[[ModelPredictions, VideoInfo, float | None], Bool]
    write: Callable[[ModelPredictions, Setting], Singletons]
    fixed: bool = False


_DETECTION = Kind("object-detection", looked_at, object_detection)
_CLASSIFICATION = Kind("classification", classified, classification, fixed=True)

# A model that found nothing at all (NONE) is taken as one that looks for objects.
KINDS: dict[TaskType, Kind] = {
    TaskType.OBJECT_DETECTION: _DETECTION,
    TaskType.GAZE: _DETECTION,
    TaskType.NONE: _DETECTION,
    TaskType.KEYPOINT_DETECTION: Kind("keypoint-detection", looked_at, keypoint_detection),
    TaskType.INSTANCE_SEGMENTATION: Kind("instance-segmentation", looked_at, instance_segmentation),
    TaskType.SEMANTIC_SEGMENTATION: Kind("semantic-segmentation", mapped, semantic_segmentation),
    TaskType.CLASSIFICATION: _CLASSIFICATION,
    TaskType.MULTILABEL_CLASSIFICATION: _CLASSIFICATION,
}

# For a model that found nothing, what the task is already says what kind it is.
OF_TASK_TYPE = {kind.task_type: kind for kind in KINDS.values()}
