"""What is wrong in Labelbox or with a video: a clear error for the run or the video, the rest delivered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.domain.errors import AuthRefused, DeliveryFailed, InputInvalid, OntologyMismatch, VideoTooLarge
from tasks.domain.video import VideoRef
from tasks.sinks.labelbox.global_key import global_key
from tasks.sinks.labelbox.project import ProjectSteps
from tests.contracts.deliveries import model_predictions, video_info
from tests.emulators.labelbox.server import LabelboxServer
from tests.unit.tasks.sinks.labelbox.workplace import NAMES, SEEN, Workplace, open_box, renamed


def key_of(name: str) -> str:
    return global_key(f"s3://matches/2026/{name}")


def make_ontology(server: LabelboxServer, *tools: dict[str, Any], name: str = "football", **more: Any) -> str:
    """An ontology that somebody made by hand."""
    spelled = [{"required": False, "color": "#ff0000", "classifications": [], **tool} for tool in tools]
    return open_box(server).create_ontology(name, {"tools": spelled, "classifications": [], **more})


def nothing_was_changed(server: LabelboxServer) -> None:
    """An error of the set-up leaves no half of it behind."""
    world = server.world
    assert [] == server.named(world.datasets)
    assert [] == server.named(world.models)
    assert {} == world.rows
    assert [] == world.uploads


def test_a_wrong_key_is_told_as_such(workplace: Workplace, server: LabelboxServer) -> None:
    """The error is about the key, does not show it, and nothing was asked twice."""
    with pytest.raises(AuthRefused, match="does not accept the key") as caught:
        workplace.deliver([workplace.delivery()], key="wrong-key")

    assert "LABELBOX_API_KEY" in caught.value.hint
    assert "wrong-key" not in caught.value.message + caught.value.hint
    assert 3 == caught.value.exit_code
    nothing_was_changed(server)


def test_a_tool_of_another_kind_under_the_name_is_a_mismatch(workplace: Workplace, server: LabelboxServer) -> None:
    """The message names the feature and both kinds, before anything is uploaded."""
    make_ontology(server, {"tool": "polygon", "name": "player"}, {"tool": "rectangle", "name": "ball"})

    with pytest.raises(OntologyMismatch, match="'football' does not fit: 'player' is a polygon there, not a box"):
        workplace.deliver([workplace.delivery()])

    nothing_was_changed(server)


def test_a_name_that_differs_by_case_alone_is_a_mismatch(workplace: Workplace, server: LabelboxServer) -> None:
    """A second tool beside the one that was meant would split the annotations between them."""
    make_ontology(server, {"tool": "rectangle", "name": "Player"})

    with pytest.raises(OntologyMismatch, match="it has 'Player', which differs from 'player' by case alone"):
        workplace.deliver([workplace.delivery()])

    nothing_was_changed(server)


def test_a_class_without_a_tool_gets_one(workplace: Workplace, server: LabelboxServer) -> None:
    """Missing classes are added to the ontology that is there; what is in it stays, with its id."""
    uid = make_ontology(server, {"tool": "rectangle", "name": "player"}, {"tool": "polygon", "name": "pitch"})
    before = open_box(server).ontology(uid).normalized["tools"]
    server.world.lag = 3

    done = workplace.deliver([workplace.delivery()])

    assert {} == done.refused
    after = open_box(server).ontology(uid).normalized["tools"]
    assert before == after[:2]
    assert [("ball", "rectangle")] == [(tool["name"], tool["tool"]) for tool in after[2:]]
    assert ["football"] == server.named(server.world.ontologies)


def test_an_ontology_for_pictures_is_a_mismatch(workplace: Workplace, server: LabelboxServer) -> None:
    """An ontology of another media type takes no annotations of videos."""
    uid = make_ontology(server)
    server.world.ontologies[uid]["mediaType"] = "TEXT"

    with pytest.raises(OntologyMismatch, match="is for TEXT, not for videos"):
        workplace.deliver([workplace.delivery()])

    nothing_was_changed(server)


def test_a_model_of_another_ontology_is_a_mismatch(workplace: Workplace, server: LabelboxServer) -> None:
    """A model keeps the ontology that it was made with."""
    workplace.deliver([workplace.delivery()])

    with pytest.raises(OntologyMismatch, match="model 'players' was made with another ontology than 'handball'"):
        workplace.deliver([workplace.delivery()], names=renamed(NAMES, ontology="handball"))

    assert ["football"] == server.named(server.world.ontologies)


@pytest.mark.parametrize(
    ("integration", "words"),
    [("archive", "no IAM integration 'archive'"), ("broken", "'broken' is not valid")],
)
def test_an_integration_that_does_not_work_is_told(
    workplace: Workplace, server: LabelboxServer, integration: str, words: str
) -> None:
    """It is looked for before a dataset is made."""
    fields = {"createdAt": None, "updatedAt": None, "lastValidAt": None, "provider": "AWS", "settings": None}
    server.world.integrations = [{"id": "1", "name": "broken", "valid": False, "isOrgDefault": False, **fields}]

    with pytest.raises(InputInvalid, match=words):
        workplace.deliver([workplace.delivery()], names=renamed(NAMES, integration=integration))

    assert [] == server.named(server.world.datasets)


def test_a_video_that_labelbox_cannot_read_fails_alone(workplace: Workplace, server: LabelboxServer) -> None:
    """Its data row is refused with Labelbox' words, without the URL's signature; the others are delivered."""
    server.world.unreadable = {key_of("b.mp4")}

    done = workplace.deliver([workplace.delivery(name) for name in ("a.mp4", "b.mp4", "c.mp4")])

    assert ["b.mp4"] == list(done.refused)
    error = done.refused["b.mp4"]
    assert "data_row_refused" == error.code
    assert "Failed to access URL: 404" in error.message
    assert "secret" not in error.message
    assert 6 == len(server.predictions("night 1"))


def test_an_import_of_rows_that_fails_as_a_whole_fails_the_videos_without_a_row(
    workplace: Workplace, server: LabelboxServer
) -> None:
    """What Labelbox has is what counts: the videos whose rows are there are delivered."""
    server.world.unreadable, server.world.rows_end = {key_of("b.mp4")}, "FAILED"

    done = workplace.deliver([workplace.delivery(name) for name in ("a.mp4", "b.mp4")])

    assert ["b.mp4"] == list(done.refused)
    assert "data_row_refused" == done.refused["b.mp4"].code
    assert "as FAILED" in done.refused["b.mp4"].message
    assert 3 == len(server.predictions("night 1"))


def test_a_video_that_is_still_processed_waits_for_the_next_run(workplace: Workplace, server: LabelboxServer) -> None:
    """The others do not wait for it for longer than the deadline, and it is delivered once it is ready."""
    server.world.stuck = {key_of("b.mp4")}
    deliveries = [workplace.delivery(name) for name in ("a.mp4", "b.mp4")]

    done = workplace.deliver(deliveries, deadline_s=0.2)
    server.world.stuck = set()
    later = workplace.deliver(deliveries[1:])

    assert ["still_processing"] == [error.code for error in done.refused.values()]
    assert "b.mp4" in done.refused["b.mp4"].message
    assert {} == later.refused
    assert 6 == len(server.predictions("night 1"))


def test_processing_that_takes_a_while_is_waited_for(workplace: Workplace, server: LabelboxServer) -> None:
    """A new data row is processed for some time before it takes annotations."""
    server.world.processing_s = 0.3

    assert {} == workplace.deliver([workplace.delivery()]).refused


def test_a_data_row_of_somebody_else_fails_alone(workplace: Workplace, server: LabelboxServer) -> None:
    """A global key that is taken where we may not look is told, and is not uploaded to."""
    workplace.deliver([workplace.delivery("b.mp4")], names=renamed(NAMES, dataset="theirs"))
    server.world.forbidden = {key_of("b.mp4")}

    done = workplace.deliver([workplace.delivery(name) for name in ("a.mp4", "b.mp4")])

    assert ["access_denied"] == [error.code for error in done.refused.values()]


def test_a_model_run_that_is_deleted_meanwhile_fails_its_batch(workplace: Workplace, server: LabelboxServer) -> None:
    """The batch is told what happened and what to do; the next one goes to a new run."""
    sink = workplace.sink()
    workplace.deliver([workplace.delivery("a.mp4")], sink)
    for run in server.world.runs.values():
        run["deleted"] = True

    with pytest.raises(DeliveryFailed, match=r"model run 'night 1' of 'players', .* was deleted meanwhile") as caught:
        workplace.deliver([workplace.delivery("b.mp4")], sink)
    done = workplace.deliver([workplace.delivery("c.mp4")], sink)

    assert "replay" in caught.value.hint
    assert {} == done.refused
    assert 3 == len(server.predictions("night 1"))


def test_a_run_that_is_deleted_during_its_import_fails_its_batch(workplace: Workplace, server: LabelboxServer) -> None:
    """Also in mid-import: never a traceback, never for ever."""
    box, world = workplace.sink(), server.world
    begin = world.begin_import

    def gone(kind: str, parent: str, name: str, content: bytes) -> dict[str, Any]:
        made = begin(kind, parent, name, content)
        world.runs[parent]["deleted"] = True
        del world.imports[kind, parent, name]
        return made

    world.begin_import = gone  # type: ignore[method-assign]
    world.import_s = 60.0

    with pytest.raises(DeliveryFailed, match="was deleted meanwhile"):
        workplace.deliver([workplace.delivery()], box)


def test_a_video_over_labelbox_limits_fails_alone(workplace: Workplace, server: LabelboxServer) -> None:
    """It is refused before anything is asked of Labelbox."""
    long = workplace.delivery("long.mp4", info=video_info(frame_count=20_001))
    sink = workplace.sink()

    with pytest.raises(DeliveryFailed, match="20001 frames"):
        sink.deliver(long)
    assert {} == workplace.deliver([workplace.delivery()], sink).refused


def test_a_local_video_that_is_too_large_to_upload_fails_alone(
    workplace: Workplace, server: LabelboxServer, tmp_path: Path
) -> None:
    """Labelbox takes files of up to 256 MB; larger ones belong into a bucket."""
    from dataclasses import replace

    large = workplace.delivery("large.mp4", uri=f"file://{tmp_path}/large.mp4")
    video: VideoRef = replace(large.video, size=257 * 1000 * 1000)

    done = workplace.deliver([replace(large, video=video), workplace.delivery("a.mp4")])

    assert [VideoTooLarge] == [type(error) for error in done.refused.values()]
    assert "bucket" in done.refused["large.mp4"].hint
    assert 3 == len(server.predictions("night 1"))


def test_results_of_another_shape_than_the_video_fail_alone(workplace: Workplace, server: LabelboxServer) -> None:
    """Boxes of an image that cannot be this video's are not scaled onto it."""
    wrong = workplace.delivery("a.mp4", models=[model_predictions(SEEN, size=(100, 400))])
    sink = workplace.sink()

    with pytest.raises(DeliveryFailed):
        sink.deliver(wrong)
    assert {} == workplace.deliver([workplace.delivery("b.mp4")], sink).refused
    assert [] == [name for name in server.world.rows if "a.mp4" in name]


def test_a_project_of_another_ontology_is_a_mismatch(workplace: Workplace, server: LabelboxServer) -> None:
    """A project that annotators work in keeps its ontology; the route's own is not made for nothing."""
    box = open_box(server)
    project = box.object_of(box.project("annotators"))
    project.connect_ontology(box.client.get_ontology(make_ontology(server, name="handball")))

    with pytest.raises(OntologyMismatch, match="project 'annotators' has the ontology 'handball'"):
        workplace.deliver([workplace.delivery()], names=renamed(NAMES, project="annotators"), steps=ProjectSteps())

    assert ["handball"] == server.named(server.world.ontologies)
    nothing_was_changed(server)
