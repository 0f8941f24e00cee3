"""The models that a service offers: the bundled one and the user's own, checked before it serves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.domain.errors import ModelInvalid, ModelUnknown
from tasks.domain.job import FOUNDATION_MODELS
from tasks.domain.predictions import TaskType
from tasks.engine.bundled import BUNDLED_PROJECT, BUNDLED_VERSION, bundled_model

WORKSPACE = "local"
# Every model is offered as this version, as the bundled one is.
VERSION = BUNDLED_VERSION
# A slug becomes a path segment of the control plane and a key of the results JSON.
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TAKEN = FOUNDATION_MODELS | {"frame_offset", "frame_offsets", "time_offset", "time_offsets"}


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model that jobs may name.

    Attributes:
        name: Project slug.
        path: The ONNX file.
        task: What it predicts.
        classes: Class names in the order of their ids.
    """

    name: str
    path: Path
    task: TaskType
    classes: tuple[str, ...]


class Catalog:
    """The offered models by name."""

    def __init__(self, models: Iterable[OfferedModel]) -> None:
        self.models = {model.name: model for model in models}

    @classmethod
    def load(cls, own: Mapping[str, Path]) -> Catalog:
        """Open the bundled model and each of ``own`` once, and note what they predict.

        Raises:
            ModelInvalid: A name is taken or unfit, or a file is no model that the engine can run.
        """
        for name in own:
            _check_name(name)
        files = {BUNDLED_PROJECT: bundled_model(), **own}
        return cls(_open(name, path) for name, path in files.items())

    def find(self, name: str, version: str, inference_type: str) -> OfferedModel:
        """The model that a job names.

        Raises:
            ModelUnknown: It is not offered here, or is of another type.
        """
        if name in FOUNDATION_MODELS:
            raise ModelUnknown(
                f"the model {name!r} runs on Roboflow's hosted service only",
                hint="leave it out of the additional models, or use `backend: roboflow`",
            )
        model = self.models.get(name)
        if model is None or version != VERSION:
            offered = ", ".join(f"{known}/{VERSION}" for known in self.models)
            raise ModelUnknown(
                f"there is no model {f'{name}/{version}'[:200]!r} here", hint=f"this service has {offered}"
            )
        if inference_type != model.task.value:
            raise ModelUnknown(
                f"the model {name}/{VERSION} does not do {inference_type[:50]!r}",
                hint=f"its inference_type is {model.task.value!r}",
            )
        return model


def _check_name(name: str) -> None:
    if name == BUNDLED_PROJECT:
        raise ModelInvalid(f"{name!r} is the bundled model's name", hint="give your model another name")
    if name in _TAKEN or not _SLUG.fullmatch(name):
        raise ModelInvalid(
            f"a model cannot be named {name!r}", hint="use letters, digits, '-', '_' and '.', and no reserved word"
        )


def _open(name: str, path: Path) -> OfferedModel:
    from tasks.engine.detectors import load_detector

    detector = load_detector(path)
    return OfferedModel(name, path.resolve(), detector.task, tuple(detector.classes))
