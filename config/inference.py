"""What a pipeline asks of an inference service, as the file says it."""

from __future__ import annotations

import os.path
import re
from datetime import timedelta
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from config.available import BACKENDS, available_names
from config.fields import THRESHOLD, Allowed, Count, Number, PositiveDuration, Section, Threshold
from config.problems import nearest, refuse, refuse_value
from config.units import DURATIONS
from tasks.domain.job import FOUNDATION_MODELS

MODELS = "project-slug/version, or clip, gaze (roboflow), or the path of an .onnx file (local)"
_MODEL = re.compile(r"[A-Za-z0-9_-]+/[1-9][0-9]*")
# S3 signs no longer than this.
LONGEST_URL_LIFETIME = timedelta(days=7)


def _poll_interval(data: dict[str, Any]) -> timedelta:
    # Roboflow's documentation asks for no more than once a minute; our own service does not mind.
    return timedelta(seconds=1 if data["backend"] == "local" else 60)


class Inference(Section):
    """What is asked of the service for each video, and how it is waited for."""

    backend: Annotated[str, Field(description="Who runs the model."), Allowed(available_names(BACKENDS))]
    model: Annotated[str, Field(description="The model. A path is relative to the working directory."), Allowed(MODELS)]
    additional_models: Annotated[
        tuple[str, ...],
        Field(description="More models to run on the same frames."),
        Allowed(f"a list of {MODELS}; each project once"),
    ] = ()
    fps: Annotated[
        Number,
        Field(ge=1, le=120, description="Frames to infer per second of video; best a divisor of the video's own."),
        Allowed("a number from 1 to 120"),
    ] = 5.0
    confidence: Annotated[
        Threshold | None,
        Field(description="Threshold sent to the service. Default: the service's."),
        Allowed(THRESHOLD),
    ] = None
    url_lifetime: Annotated[
        PositiveDuration,
        Field(le=LONGEST_URL_LIFETIME, description="How long a signed URL works; must outlast the service's queue."),
        Allowed(f"{DURATIONS}, at most 7d"),
    ] = timedelta(hours=24)
    max_in_flight: Annotated[
        Count,
        Field(description="Jobs open at the service at once, over all runs."),
        Allowed("a whole number from 1 up"),
    ] = 50
    submits_per_second: Annotated[
        Number,
        Field(ge=0.01, description="Jobs given to the service in a second, by each process of a run."),
        Allowed("a number from 0.01 up"),
    ] = 5.0
    poll_interval: Annotated[
        PositiveDuration,
        Field(
            default_factory=_poll_interval,
            description="Wait between two questions about a job. Default: 60s for roboflow, 1s for local.",
        ),
        Allowed(DURATIONS),
    ]
    deadline: Annotated[
        PositiveDuration,
        Field(description="A job not finished by then is given up, and can be replayed."),
        Allowed(f"{DURATIONS}, longer than poll_interval"),
    ] = timedelta(hours=6)
    dedupe: Annotated[
        Literal["none", "content"],
        Field(description="`content`: a copy of a video that was inferred before takes over its results, unpaid."),
        Allowed("none, content"),
    ] = "none"

    @field_validator("backend")
    @classmethod
    def _backend_exists(cls, backend: str) -> str:
        available = [name for name, works in BACKENDS.items() if works]
        if backend in BACKENDS and backend not in available:
            raise refuse_value("is not available in this version")
        if backend not in BACKENDS:
            raise refuse_value("is not a backend", suggestion=nearest(backend, available))
        return backend

    @field_validator("model")
    @classmethod
    def _model_can_run(cls, model: str, info: ValidationInfo) -> str:
        return _read_model(model, info.data.get("backend"))

    @field_validator("additional_models")
    @classmethod
    def _models_differ(cls, models: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        read = tuple(_read_model(model, info.data.get("backend")) for model in models)
        # Results are keyed by project alone, so two versions of one would overwrite each other.
        projects = [
            model if is_file(model) else model.partition("/")[0] for model in (info.data.get("model"), *read) if model
        ]
        if len(set(projects)) < len(projects):
            raise refuse("one project twice: results are kept by project, so run its versions as two pipelines")
        return read

    @field_validator("deadline")
    @classmethod
    def _deadline_leaves_time(cls, deadline: timedelta, info: ValidationInfo) -> timedelta:
        if deadline <= info.data.get("poll_interval", timedelta(0)):
            raise refuse_value("is no longer than poll_interval, so no job would be seen to finish")
        return deadline


def is_file(model: str) -> bool:
    """Say whether a model is written as the path of a user's own file."""
    return model.endswith(".onnx")


def project_of(model: str) -> str:
    """The project slug by which a model's predictions go; a file's is made of its name."""
    if is_file(model):
        return re.sub(r"[^a-z0-9]+", "-", PurePath(model).stem.lower()).strip("-") or "model"
    return model.partition("/")[0]


def _read_model(model: str, backend: object) -> str:
    if is_file(model):
        if backend == "roboflow":
            raise refuse_value("is a file, which only `backend: local` runs", allowed="project-slug/version")
        return os.path.abspath(os.path.expanduser(model))  # noqa: PTH100, PTH111 - Path keeps ".."
    if model in FOUNDATION_MODELS:
        if backend == "local":
            raise refuse("'clip' and 'gaze' run at Roboflow only, not with `backend: local`")
        return model
    if _MODEL.fullmatch(model) is None:
        tail = "/".join(model.split("/")[-2:])
        raise refuse_value("is not a model", suggestion=tail if tail != model and _MODEL.fullmatch(tail) else "")
    return model
