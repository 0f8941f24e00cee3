"""The control plane: what the official SDK looks up before it submits a video.

Source of the fields: roboflow-python 1.7.3 (``core/project.py``, ``core/version.py``,
``core/training.py``), which fails on any that is missing.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from deployments.services.inference.catalog import VERSION, WORKSPACE, OfferedModel
from deployments.services.inference.service import InService, Service, require_key
from tasks.domain.errors import ModelUnknown

router = APIRouter(dependencies=[Depends(require_key)])
_NO_SPLITS = {"train": 0, "valid": 0, "test": 0}


@router.post("/")
def workspace_of_key() -> dict[str, str]:
    """Name the workspace that the key belongs to."""
    return {"workspace": WORKSPACE}


@router.get("/{workspace}")
def workspace(workspace: str, service: InService) -> dict[str, Any]:
    """Describe the workspace and list its projects."""
    _check_workspace(workspace)
    projects = [_project(model) for model in service.catalog.models.values()]
    return {"workspace": {"name": WORKSPACE, "url": WORKSPACE, "members": 1, "projects": projects}}


@router.get("/{workspace}/{project}")
def project(workspace: str, project: str, service: InService) -> dict[str, Any]:
    """Describe a project and its one version."""
    model = _model(service, workspace, project)
    return {
        "workspace": {"name": WORKSPACE, "url": WORKSPACE},
        "project": _project(model),
        "versions": [_version(model)],
    }


@router.get("/{workspace}/{project}/{version}/v2/trainings")
def trainings(workspace: str, project: str, version: str, service: InService) -> dict[str, Any]:
    """List the one training of a version, for the SDK's ``version.models()``."""
    return {"trainings": [_training(_model(service, workspace, project, version))]}


@router.get("/{workspace}/{project}/{version}/v2/trainings/get")
def training(workspace: str, project: str, version: str, service: InService) -> dict[str, Any]:
    """Describe the one training of a version and its model."""
    model = _model(service, workspace, project, version)
    return {**_training(model), "models": [{"modelId": f"{model.name}/{VERSION}", "modelType": model.task.value}]}


def _model(service: Service, workspace: str, project: str, version: str = VERSION) -> OfferedModel:
    _check_workspace(workspace)
    model = service.catalog.models.get(project)
    if model is None or version != VERSION:
        raise ModelUnknown(
            "there is no such project or version here", hint="projects: " + ", ".join(service.catalog.models)
        )
    return model


def _check_workspace(name: str) -> None:
    if name != WORKSPACE:
        raise ModelUnknown("there is no such workspace here", hint=f"the workspace is {WORKSPACE!r}")


def _project(model: OfferedModel) -> dict[str, Any]:
    return {
        "id": f"{WORKSPACE}/{model.name}",
        "type": model.task.value,
        "name": model.name,
        "created": 0.0,
        "updated": 0.0,
        "images": 0,
        "unannotated": 0,
        "annotation": model.name,
        "public": False,
        "splits": _NO_SPLITS,
        "colors": {},
        # Name -> number of labelled objects at Roboflow. Its order is that of the class ids.
        "classes": dict.fromkeys(model.classes, 0),
        "versions": 1,
    }


def _version(model: OfferedModel) -> dict[str, Any]:
    identity = f"{WORKSPACE}/{model.name}/{VERSION}"
    return {
        "id": identity,
        "name": model.name,
        "created": 0.0,
        "images": 0,
        "splits": _NO_SPLITS,
        "preprocessing": {},
        "augmentation": {},
        "exports": [],
        "model": {"id": identity, "type": model.task.value},
    }


def _training(model: OfferedModel) -> dict[str, Any]:
    return {"trainingId": f"{model.name}-{VERSION}", "status": "finished", "modelType": model.task.value}
