"""Read a labelbox route's settings, and the files that they name, into how predictions become annotations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from config.annotations import BoxDetail, ClassTools, ModelAnnotations
from config.pipeline import Pipeline
from config.routes import LabelboxRoute, Route
from tasks.domain.errors import DeliveryFailed, InputInvalid
from tasks.inference.base import ModelInfo

if TYPE_CHECKING:
    from tasks.sinks.labelbox.style import ClassStyle, Detail, ModelStyle, Style


def labelbox_style(route: LabelboxRoute) -> Style:
    """Say how predictions become annotations, as a route has it.

    Raises:
        InputInvalid: A file of prompts is missing, or is none.
    """
    from tasks.sinks.labelbox.style import Style

    return Style(
        min_confidence=route.min_confidence,
        max_gap=route.max_gap,
        keyframe_tolerance=route.keyframe_tolerance,
        classes=_classes(route.classes),
        omit=frozenset(route.omit),
        models={name: _model(model) for name, model in (route.models or {}).items()},
    )


def check_styles(pipeline: Pipeline, models: Sequence[ModelInfo]) -> None:
    """Make sure that the models' predictions can become what labelbox routes ask for, before anything is paid for.

    Raises:
        InputInvalid: A file of prompts is missing or is none, a model cannot become a kind, or a
            feature would be two things.
    """
    from tasks.sinks.labelbox.ndjson import expected_features

    described = [(info.ref.project, info.task, info.classes) for info in models]
    for route in pipeline.routes:
        if isinstance(route, LabelboxRoute):
            try:
                expected_features(described, labelbox_style(route))
            except DeliveryFailed as error:
                raise InputInvalid(f"route {route.name}: {error}", hint=error.hint) from None


def fingerprint_of(route: Route) -> str:
    """Hash what a route does, and the files of prompts that it names: another hash means to deliver again.

    Raises:
        InputInvalid: A file of prompts is missing.
    """
    models = (route.models or {}) if isinstance(route, LabelboxRoute) else {}
    paths = [Path(model.prompts) for model in models.values() if model.prompts]
    if not paths:
        return route.fingerprint()
    digest = hashlib.sha256(route.fingerprint().encode())
    for path in paths:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise InputInvalid(f"cannot read prompts {path}: {error.strerror or error}") from None
    return digest.hexdigest()[:16]


def _model(model: ModelAnnotations) -> ModelStyle:
    from tasks.sinks.labelbox.prompts import read_prompts
    from tasks.sinks.labelbox.style import Kind, ModelStyle

    silent = model.kind == ("nothing",)
    return ModelStyle(
        kinds=() if silent else tuple(Kind(kind) for kind in model.kind or ()),
        silent=silent,
        name=model.name or "",
        per_video=model.per == "video",
        separator=model.separator or "",
        questions=model.questions or {},
        classes=_classes(model.classes),
        omit=frozenset(model.omit),
        keypoints=model.keypoints or {},
        vertices=model.vertices,
        details=tuple(_detail(detail) for detail in model.details),
        prompts=read_prompts(Path(model.prompts)) if model.prompts else None,
        temperature=model.temperature,
        min_share=model.min_share,
        min_confidence=model.min_confidence,
    )


def _classes(classes: dict[str, str | ClassTools] | None) -> dict[str, str | ClassStyle]:
    return {name: choice if isinstance(choice, str) else _class(choice) for name, choice in (classes or {}).items()}


def _class(choice: ClassTools) -> ClassStyle:
    from tasks.sinks.labelbox.style import ClassStyle, Kind

    tools = {kind: getattr(choice, kind.value) for kind in (Kind.BOX, Kind.POINT, Kind.OUTLINE, Kind.DIRECTION)}
    named = {kind: name for kind, name in tools.items() if name is not None}
    if choice.points is not None:
        named[Kind.POINTS] = ""
    return ClassStyle(tools=named, keypoints=choice.points or {})


def _detail(detail: BoxDetail) -> Detail:
    from tasks.sinks.labelbox.style import Detail

    return Detail(of=detail.of, name=detail.name or detail.of, bands=detail.bands, many=detail.kind == "checklist")
