"""What a labelbox route finds of Labelbox before anything is paid, and what doctor says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from config.load import load_pipeline
from config.pipeline import Pipeline
from config.settings import Settings
from tasks import doctor
from tasks.domain.errors import AuthRefused, OntologyMismatch, ReelrouteError, ServiceUnavailable
from tasks.domain.job import ModelRef
from tasks.domain.predictions import TaskType
from tasks.inference.base import ModelInfo
from tasks.labelbox_setup import check_uploads, open_labelbox
from tasks.sinks.labelbox.project import connect
from tests.emulators.labelbox.server import LabelboxServer, labelbox_server
from tests.rig import ScriptedBackend

MODELS = (ModelInfo(ModelRef("oidv4", "1"), TaskType.OBJECT_DETECTION, ("Person", "Car")),)
DAY = date(2026, 1, 31)
PIPELINE = """
name: yard
sources: [{{uri: "{folder}/videos"}}]
inference: {{backend: local, model: oidv4/1}}
routes:
  - {{to: labelbox, dataset: yard, ontology: yard, model: oidv4, model_run: "{{date}}", project: annotators}}
"""
CHANGES = ("create", "upsert", "upload", "delete", "update", "PUT", "POST")


@pytest.fixture
def server() -> Iterator[LabelboxServer]:
    """An empty workspace."""
    with labelbox_server() as running:
        yield running


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A pipeline that uploads."""
    (tmp_path / "videos").mkdir()
    (tmp_path / "yard.yaml").write_text(PIPELINE.format(folder=tmp_path))
    return load_pipeline(str(tmp_path / "yard.yaml"))


def settings(server: LabelboxServer, tmp_path: Path, **changes: str) -> Settings:
    return Settings.model_validate({"REELROUTE_HOME": tmp_path / "home", **server.environment, **changes})


def nothing_was_changed(server: LabelboxServer) -> None:
    assert server.faults.calls
    assert [] == [call for call in server.faults.calls if call.startswith(CHANGES)]


def test_an_empty_workspace_will_do(server: LabelboxServer, pipeline: Pipeline, tmp_path: Path) -> None:
    """What is missing will be made by the upload, so nothing is wrong; and nothing is made yet."""
    check_uploads(pipeline, settings(server, tmp_path), MODELS, DAY)

    nothing_was_changed(server)


def test_without_uploads_nothing_is_asked(tmp_path: Path) -> None:
    """Who does not use Labelbox needs no key, and waits for no SDK."""
    path = tmp_path / "files.yaml"
    path.write_text(
        PIPELINE.format(folder=tmp_path).replace("dataset: yard", 'upload: false, uri: "/o", dataset: yard')
    )

    check_uploads(load_pipeline(str(path)), Settings.model_validate({"REELROUTE_HOME": tmp_path}), MODELS, DAY)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"LABELBOX_API_KEY": ""}, AuthRefused, "route labelbox: LABELBOX_API_KEY is not set"),
        ({"LABELBOX_API_KEY": "wrong-key"}, AuthRefused, "route labelbox: Labelbox at .* does not accept the key"),
        ({"LABELBOX_ENDPOINT": "http://127.0.0.1:9/graphql"}, ServiceUnavailable, "cannot be reached"),
    ],
)
def test_a_service_that_does_not_let_us_in_ends_the_run(
    server: LabelboxServer,
    pipeline: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    error: type[ReelrouteError],
    words: str,
) -> None:
    """No key, a wrong one, nobody there: exit code 3, before anything is paid; the key is not shown."""
    monkeypatch.setattr("tasks.sinks.labelbox.patience.FIRST_WAIT_S", 0.0)

    with pytest.raises(error, match=words) as caught:
        check_uploads(pipeline, settings(server, tmp_path, **changes), MODELS, DAY)

    assert 3 == caught.value.exit_code
    assert caught.value.hint
    assert "wrong-key" not in str(caught.value)


def test_an_ontology_that_does_not_fit_ends_the_run(server: LabelboxServer, pipeline: Pipeline, tmp_path: Path) -> None:
    """The route and the feature are named: exit code 2, before anything is paid."""
    known = settings(server, tmp_path)
    tool = {"tool": "polygon", "name": "Person", "required": False, "color": "#ff0000", "classifications": []}
    open_labelbox(known).create_ontology("yard", {"tools": [tool], "classifications": []})

    with pytest.raises(OntologyMismatch, match=r"route labelbox: .*'Person' is a polygon there, not a box") as caught:
        check_uploads(pipeline, known, MODELS, DAY)

    assert 2 == caught.value.exit_code


def test_a_project_of_another_ontology_ends_the_run(server: LabelboxServer, pipeline: Pipeline, tmp_path: Path) -> None:
    """A project keeps its ontology, so nobody pays for annotations that it cannot take."""
    known = settings(server, tmp_path)
    box = open_labelbox(known)
    tool = {"tool": "rectangle", "name": "Person", "required": False, "color": "#ff0000", "classifications": []}
    connect(box, "annotators", box.create_ontology("handball", {"tools": [tool], "classifications": []}))
    server.faults.calls.clear()

    with pytest.raises(OntologyMismatch, match=r"route labelbox: project 'annotators' has the ontology 'handball'"):
        check_uploads(pipeline, known, MODELS, DAY)

    nothing_was_changed(server)


class _Service:
    """A backend that knows the models, for doctor."""

    def open(self, *args: Any, **how: Any) -> AbstractAsyncContextManager[Any]:
        backend = ScriptedBackend()

        async def describe(models: object) -> tuple[ModelInfo, ...]:
            return MODELS

        backend.describe = describe  # type: ignore[method-assign]
        return nullcontext((backend, "http://127.0.0.1:9001"))


def looked_up(pipeline: Pipeline, known: Settings, monkeypatch: pytest.MonkeyPatch) -> list[doctor.Finding]:
    monkeypatch.setattr(doctor, "open_service", _Service().open)
    found = asyncio.run(doctor.examine(pipeline, known))
    return [finding for finding in found if finding.subject == "route labelbox"]


def test_doctor_says_what_is_there_and_what_will_be_new(
    server: LabelboxServer, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thing that the route names, in a sentence; nothing is made."""
    known = settings(server, tmp_path)
    box = open_labelbox(known)
    tool = {"tool": "rectangle", "name": "Person", "required": False, "color": "#ff0000", "classifications": []}
    model = box.model("oidv4", box.create_ontology("yard", {"tools": [tool], "classifications": []}))
    box.dataset("yard")
    server.faults.calls.clear()

    told = looked_up(pipeline, known, monkeypatch)

    assert [
        "workspace 'Test workspace'",
        "dataset 'yard' is there",
        "ontology 'yard' fits; 'Car' will be added to it",
        "model 'oidv4' is there",
        f"model run '{datetime.now(UTC):%Y-%m-%d}' will be new",
        "project 'annotators' will be new",
    ] == [finding.message for finding in told]
    assert model
    nothing_was_changed(server)


def test_doctor_says_what_is_wrong(
    server: LabelboxServer, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong key is a failed check with its code and its hint."""
    (finding,) = looked_up(pipeline, settings(server, tmp_path, LABELBOX_API_KEY="wrong-key"), monkeypatch)

    assert ("fail", "auth_refused", 3) == (finding.status, finding.code, finding.exit_code)
    assert "LABELBOX_API_KEY" in finding.hint
