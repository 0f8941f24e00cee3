"""The steps after a model run, by the real SDK: project, batches, annotations, labels in the run."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.sinks.labelbox.global_key import global_key
from tasks.sinks.labelbox.imports import ImportKind
from tasks.sinks.labelbox.project import ProjectSteps
from tests.emulators.labelbox.faults import Trouble
from tests.emulators.labelbox.server import LabelboxServer
from tests.unit.tasks.sinks.labelbox.workplace import NAMES, Workplace, renamed

WITH_PROJECT = renamed(NAMES, project="annotators")
EVERYTHING = ProjectSteps(priority=2, annotations=ImportKind.LABELS, labels_to_run=True)


def in_project(server: LabelboxServer, kind: str) -> list[dict[str, Any]]:
    """Every annotation in the one project, of one kind of import."""
    (project,) = server.world.projects.values()
    return [line for row in project["rows"].values() for line in row.get(kind, ())]


def deliver(workplace: Workplace, *names: str, steps: ProjectSteps) -> None:
    done = workplace.deliver([workplace.delivery(name) for name in names], names=WITH_PROJECT, steps=steps)
    assert {} == done.refused


def test_a_project_gets_its_ontology_and_the_videos(workplace: Workplace, server: LabelboxServer) -> None:
    """Made for videos, connected, and with one batch of the route's priority."""
    deliver(workplace, "a.mp4", "b.mp4", steps=ProjectSteps(priority=2))

    world = server.world
    (project,) = world.projects.values()
    assert ("annotators", "VIDEO") == (project["name"], project["allowedMediaType"])
    assert list(world.ontologies) == [project["ontology"]]
    assert [(2, 2)] == [(batch["size"], batch["priority"]) for batch in world.batches.values()]
    assert 2 == len(project["rows"])
    assert [] == in_project(server, "labels") + in_project(server, "prelabels")


def test_each_step_has_its_own_switch(workplace: Workplace, server: LabelboxServer) -> None:
    """A project without a batch stays empty."""
    deliver(workplace, "a.mp4", steps=ProjectSteps(batch=False))

    assert {} == server.world.batches


@pytest.mark.parametrize("kind", [ImportKind.PRELABELS, ImportKind.LABELS])
def test_annotations_arrive_in_the_project_once(workplace: Workplace, server: LabelboxServer, kind: ImportKind) -> None:
    """The project has what the model run has, also after a second delivery in other company."""
    steps = ProjectSteps(annotations=kind)
    deliver(workplace, "a.mp4", "b.mp4", steps=steps)
    deliver(workplace, "c.mp4", "b.mp4", "a.mp4", steps=steps)

    found = sorted(in_project(server, kind), key=lambda line: str(line["uuid"]))
    assert server.predictions("night 1") == found
    assert 9 == len(found)


def test_labels_go_to_the_model_run(workplace: Workplace, server: LabelboxServer) -> None:
    """Beside the predictions, not instead of them, and still there after a second delivery."""
    deliver(workplace, "a.mp4", steps=EVERYTHING)
    deliver(workplace, "a.mp4", steps=EVERYTHING)

    assert 3 == len(server.predictions("night 1"))
    assert server.predictions("night 1") == server.predictions("night 1", "labels")


def test_a_project_of_that_name_is_used(workplace: Workplace, server: LabelboxServer) -> None:
    """Rows that are in it already, in somebody's batch, are no trouble."""
    deliver(workplace, "a.mp4", steps=ProjectSteps())
    deliver(workplace, "a.mp4", "b.mp4", "c.mp4", steps=ProjectSteps())

    assert ["annotators"] == server.named(server.world.projects)
    (project,) = server.world.projects.values()
    assert 3 == len(project["rows"])


def test_a_video_that_a_project_does_not_take_is_told(workplace: Workplace, server: LabelboxServer) -> None:
    """Refused for another reason than that it is there: a warning in Labelbox' words, the others are put in."""
    server.world.unbatched = {global_key("s3://matches/2026/b.mp4")}

    deliveries = [workplace.delivery(name) for name in ("a.mp4", "b.mp4", "c.mp4")]
    done = workplace.deliver(deliveries, names=WITH_PROJECT, steps=ProjectSteps())

    assert {} == done.refused
    (told,) = [warning for warning in done.end.warnings if "into the project" in warning]
    assert "2026/b.mp4" in told
    assert "quota" in told
    (project,) = server.world.projects.values()
    assert 2 == len(project["rows"])


STEPS = [
    "createProject",
    "project.connectOntology",
    "createLabelingFrontendOptions",
    "updateProject",
    "project.createBatchV2",
    "createLabelImport",
    "createMEAModelRunProjectLabelRegistrationTask",
]


@pytest.mark.parametrize(
    ("call", "trouble"), [*((step, "lost") for step in STEPS), (STEPS[0], "429"), (STEPS[4], "reset")]
)
def test_trouble_at_any_step_doubles_nothing(
    workplace: Workplace, server: LabelboxServer, call: str, trouble: Trouble
) -> None:
    """An answer that is lost, a 429, a reset: one project, one batch, one copy of each label."""
    server.faults.plan(call, trouble)

    deliver(workplace, "a.mp4", "b.mp4", steps=EVERYTHING)

    assert ["annotators"] == server.named(server.world.projects)
    assert 1 == len(server.world.batches)
    assert 6 == len(in_project(server, "labels"))
    assert 6 == len(server.predictions("night 1"))


def test_a_label_that_is_refused_fails_its_video_alone(workplace: Workplace, server: LabelboxServer) -> None:
    """The predictions are in the model run all the same."""
    server.world.fails_import = lambda lines: "no room" if len(server.world.uploads) > 1 else ""

    deliveries = [workplace.delivery("a.mp4")]
    done = workplace.deliver(deliveries, names=WITH_PROJECT, steps=ProjectSteps(annotations=ImportKind.LABELS))

    assert ["annotations_refused"] == [error.code for error in done.refused.values()]
    assert "no room" in done.refused["a.mp4"].message
    assert 3 == len(server.predictions("night 1"))


@pytest.mark.parametrize("kind", [ImportKind.PRELABELS, ImportKind.LABELS])
def test_what_was_refused_is_sent_again_and_nothing_else(
    workplace: Workplace, server: LabelboxServer, kind: ImportKind
) -> None:
    """A video whose annotations a project took in part has the rest after a replay, and no copy."""
    steps, deliveries = ProjectSteps(annotations=kind), [workplace.delivery("a.mp4")]
    begin = server.world.begin_import

    def shortly(kind: str, parent: str, name: str, content: bytes) -> dict[str, Any]:
        """Take the video for one of a single frame while the project looks at it."""
        for row in server.world.rows.values():
            row["frames"] = 100 if kind == "predictions" else 1
        return begin(kind, parent, name, content)

    server.world.begin_import = shortly  # type: ignore[method-assign]
    refused = workplace.deliver(deliveries, names=WITH_PROJECT, steps=steps).refused
    before = in_project(server, kind)
    server.world.begin_import = begin  # type: ignore[method-assign]
    for row in server.world.rows.values():
        row["frames"] = 100

    done = workplace.deliver(deliveries, names=WITH_PROJECT, steps=steps)

    assert f"refuses 2 of 3 {kind}" in refused["a.mp4"].message
    assert 1 == len(before)
    assert {} == done.refused
    found = sorted(in_project(server, kind), key=lambda line: str(line["uuid"]))
    assert server.predictions("night 1") == found


@pytest.mark.parametrize("kind", [ImportKind.PRELABELS, ImportKind.LABELS])
def test_a_replay_days_later_doubles_nothing(workplace: Workplace, server: LabelboxServer, kind: ImportKind) -> None:
    """Labelbox keeps result files for a day; that an import is there says enough."""
    steps = ProjectSteps(annotations=kind)
    deliver(workplace, "a.mp4", steps=steps)
    server.world.expire_files()

    deliver(workplace, "a.mp4", steps=steps)

    found = sorted(in_project(server, kind), key=lambda line: str(line["uuid"]))
    assert server.predictions("night 1") == found
