"""The fields of the Video Inference API: what a job request holds, and what its answers mean."""

from __future__ import annotations

import re
from typing import Any

from tasks.domain.errors import ModelUnknown
from tasks.domain.job import FOUNDATION_MODELS, InferenceSpec
from tasks.domain.predictions import TaskType
from tasks.inference.base import ModelInfo

# How the API spells each kind of model; what is not here, it does not take.
_INFERENCE_TYPES = {
    TaskType.OBJECT_DETECTION: "object-detection",
    TaskType.INSTANCE_SEGMENTATION: "instance-segmentation",
    TaskType.KEYPOINT_DETECTION: "keypoint-detection",
    TaskType.CLASSIFICATION: "classification",
    TaskType.MULTILABEL_CLASSIFICATION: "classification",
    TaskType.EMBEDDING: "clip-embed-image",
    TaskType.GAZE: "gaze-detection",
}
LONGEST_JOB_ID = 500
_CODE = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


def job_request(spec: InferenceSpec, models: tuple[ModelInfo, ...]) -> dict[str, Any]:
    """The body that starts a job, all but its ``input_url``.

    Raises:
        ModelUnknown: The API does not take a model of this kind.
    """
    # A whole number goes out as one, as the service's own client sends it.
    fps = int(spec.fps) if float(spec.fps).is_integer() else spec.fps
    return {"infer_fps": fps, "models": [_model(info, spec) for info in models]}


def _model(info: ModelInfo, spec: InferenceSpec) -> dict[str, Any]:
    if info.task not in _INFERENCE_TYPES:
        raise ModelUnknown(f"video inference does not take {info.task} models such as {info.ref}")
    entry: dict[str, Any] = {
        "model_id": info.ref.project,
        "model_version": info.ref.version,
        "inference_type": _INFERENCE_TYPES[info.task],
    }
    if spec.confidence is not None and info.ref.project not in FOUNDATION_MODELS:
        entry["inference_params"] = {"confidence": spec.confidence}
    return entry


def job_id(value: object) -> str:
    """A job id that can be kept and asked for again, or "" if ``value`` is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    text = value.strip() if isinstance(value, str) else ""
    # No URL and no database takes a lone surrogate; no service means a control character or a page.
    return text if text.isprintable() and len(text) <= LONGEST_JOB_ID else ""


def job_status(value: object) -> int | None:
    """A job's status (0 done, 1 running, more: failed), quoted or not; None if ``value`` is none."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def failure_code(value: object) -> str:
    """The service's own code of a failure if it is fit to be one (``video_unreadable``), or ""."""
    return value if isinstance(value, str) and len(value) <= 64 and _CODE.fullmatch(value) else ""
