"""Inference specs, jobs and deliveries: their identity and the states they move through."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum

from tasks.domain.video import VideoRef

FOUNDATION_MODELS = frozenset({"clip", "gaze"})


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as the service addresses it.

    Attributes:
        project: Project slug, which is also the model's key in results JSON; or ``clip``, ``gaze``.
        version: Version within the project, as a string; "1" for foundation models.
        digest: For a user's own ONNX, of all files that it reads, else "": two files of one name
            are two models.
    """

    project: str
    version: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Read ``project/2``, ``clip`` or ``gaze``.

        Raises:
            ValueError: For anything else.
        """
        if text in FOUNDATION_MODELS:
            return cls(text, "1")
        project, slash, version = text.rpartition("/")
        if not slash or not project or "/" in project or not (version.isascii() and version.isdigit()):
            raise ValueError(f"{text!r} is not a model: write 'project-slug/version', 'clip' or 'gaze'")
        return cls(project, version)

    def __str__(self) -> str:
        return self.project if self.project in FOUNDATION_MODELS else f"{self.project}/{self.version}"


@dataclass(frozen=True, slots=True)
class InferenceSpec:
    """What is asked of the service for each video; part of a job's identity.

    Attributes:
        backend: ``roboflow`` or ``local``.
        models: The main model first, then the additional ones.
        fps: Frames per second of video to infer.
        confidence: Threshold in [0, 1] sent to the service, or None for its default.
    """

    backend: str
    models: tuple[ModelRef, ...]
    fps: float
    confidence: float | None = None

    def identity(self) -> dict[str, object]:
        """Exactly what makes two specs the same inference, as plain JSON values."""
        return {
            "backend": self.backend,
            "models": [[m.project, m.version, m.digest] for m in self.models],
            "fps": float(self.fps),
            "confidence": None if self.confidence is None else float(self.confidence),
        }


def job_key(video: VideoRef, spec: InferenceSpec) -> str:
    """Name the paid inference of one video version under one spec: 32 hex digits.

    Two pipelines that ask for the same inference get the same key, so it is paid once.
    """
    identity = [video.uri, video.version, spec.identity()]
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


class JobState(StrEnum):
    """Where a job stands; see ``JOB_MOVES`` for the ways on."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class DeliveryState(StrEnum):
    """Where a delivery (one job to one route) stands."""

    PENDING = "pending"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    FAILED = "failed"


# The ways on from each state. From PLANNED a job succeeds at once where a copy of its video has results; SUCCEEDED
# fails where results are wanted that were pruned.
# The moves back to PLANNED are a person's decision (`replay`) or, from SUBMITTING, a request that
# provably never reached the service.
JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.PLANNED: frozenset({JobState.SUBMITTING, JobState.FAILED, JobState.SUCCEEDED}),
    JobState.SUBMITTING: frozenset({JobState.SUBMITTED, JobState.FAILED, JobState.UNKNOWN, JobState.PLANNED}),
    JobState.SUBMITTED: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED}),
    JobState.SUCCEEDED: frozenset({JobState.FAILED}),
    JobState.FAILED: frozenset({JobState.PLANNED, JobState.SUBMITTED}),
    JobState.EXPIRED: frozenset({JobState.PLANNED, JobState.SUBMITTED, JobState.SUCCEEDED}),
    JobState.UNKNOWN: frozenset({JobState.PLANNED, JobState.SUBMITTED}),
}
DELIVERY_MOVES: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.PENDING: frozenset({DeliveryState.DELIVERING, DeliveryState.FAILED}),
    DeliveryState.DELIVERING: frozenset({DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.PENDING}),
    DeliveryState.DELIVERED: frozenset({DeliveryState.PENDING}),
    DeliveryState.FAILED: frozenset({DeliveryState.PENDING}),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job or a delivery stopped, as the dead-letter list shows it.

    Attributes:
        stage: ``sign``, ``submit``, ``poll``, ``download``, ``check``, ``store`` or ``route``.
        code, message, hint: As in :class:`tasks.domain.errors.ReelrouteError`.
    """

    stage: str
    code: str
    message: str
    hint: str = ""
