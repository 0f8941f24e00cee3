"""Lost answers, refusals, resets and hangs at every call of an upload, by the real SDK: nothing is doubled."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.domain.errors import RateLimited, ReelrouteError, ServiceUnavailable
from tasks.sinks.labelbox.patience import Patience
from tests.contracts.deliveries import Box, Frames
from tests.emulators.labelbox.faults import Trouble
from tests.emulators.labelbox.server import LabelboxServer, labelbox_server
from tests.unit.tasks.sinks.labelbox.elsewhere import REPLACING, VIDEOS, WITH_PROJECT, WITHOUT_PROJECT
from tests.unit.tasks.sinks.labelbox.workplace import STYLE, Workplace, open_box


def one_of_each(server: LabelboxServer) -> None:
    """One dataset, ontology, model and run, two data rows, and one copy of each annotation."""
    world = server.world
    assert ["matches"] == server.named(world.datasets)
    assert ["football"] == server.named(world.ontologies)
    assert ["players"] == server.named(world.models)
    assert ["night 1"] == server.named(world.runs)
    assert 2 == len(world.rows)
    lines = server.predictions("night 1")
    assert 6 == len(lines)
    assert 6 == len({line["uuid"] for line in lines})
    for project in world.projects.values():
        labels = [line["uuid"] for row in project["rows"].values() for line in row["labels"]]
        assert ["annotators"] == server.named(world.projects)
        assert sorted(line["uuid"] for line in lines) == sorted(labels)
        assert lines == server.predictions("night 1", "labels")


EARLIER: Frames = [[Box(300 + i, 180, 40, 80, track=9)] for i in range(4)]


def prepare(workplace: Workplace, how: dict[str, Any]) -> None:
    """Make the workspace what the delivery finds: empty, or as an earlier one left it. No call is counted."""
    if how is REPLACING:
        fields = {"createdAt": None, "updatedAt": None, "lastValidAt": None, "provider": "AWS", "settings": None}
        workplace.server.world.integrations = [
            {"id": "1", "name": "bucket", "valid": True, "isOrgDefault": True, **fields}
        ]
        style = replace(STYLE, omit=frozenset({"ball"}))
        workplace.deliver([workplace.delivery(name, EARLIER) for name in VIDEOS], style=style)
        workplace.server.faults.calls.clear()


def calls_of_a_delivery(folder: Path, how: dict[str, Any] = WITHOUT_PROJECT) -> list[str]:
    """What an undisturbed delivery asks, in order."""
    with labelbox_server() as server:
        workplace = Workplace(server, folder)
        prepare(workplace, how)
        workplace.deliver([workplace.delivery(name) for name in VIDEOS], **how)
        one_of_each(server)
        return server.faults.calls


# All of them take minutes: by `make bench` only.
WAYS = [
    pytest.param(WITHOUT_PROJECT, id="model run"),
    pytest.param(WITH_PROJECT, id="model run and project", marks=pytest.mark.bench),
    pytest.param(REPLACING, id="replacement", marks=pytest.mark.bench),
]


@pytest.mark.parametrize("how", WAYS)
def test_an_answer_that_is_lost_at_any_call_doubles_nothing(tmp_path: Path, how: dict[str, Any]) -> None:
    """However the delivery ends that lost an answer, it and the next one leave one of each thing."""
    calls = calls_of_a_delivery(tmp_path, how)
    assert len(calls) > 20
    for number in range(1, len(calls) + 1):
        with labelbox_server() as server:
            workplace = Workplace(server, tmp_path / str(number))
            workplace.folder.mkdir()
            prepare(workplace, how)
            server.faults.cut_at = number
            done = workplace.deliver([workplace.delivery(name) for name in VIDEOS], **how)

            assert {} == done.refused, calls[number - 1]
            one_of_each(server)
            workplace.deliver([workplace.delivery(name) for name in reversed(VIDEOS)], **how)
            one_of_each(server)


CREATIONS = ("createDataset", "createModel", "createModelRun", "upsertOntology", "createModelErrorAnalysis")


@pytest.mark.parametrize("trouble", ["lost", "lost 500"])
@pytest.mark.parametrize("creation", [*CREATIONS, "upsertDataRows", "createMEAModelRun"])
def test_answers_that_are_lost_twice_double_nothing(
    workplace: Workplace, server: LabelboxServer, creation: str, trouble: Trouble
) -> None:
    """The SDK's own repetition, which makes two datasets of one, is not at work."""
    server.faults.plan(creation, trouble, 2)

    done = workplace.deliver([workplace.delivery(name) for name in VIDEOS])

    assert {} == done.refused
    one_of_each(server)


CHANGES = ("PUT /api/v1/feature-schemas", "POST /api/v1/ontologies", "deleteModelRunDataRows", "setSignerForDataset")


@pytest.mark.parametrize("trouble", ["lost", "lost 500"])
@pytest.mark.parametrize("change", CHANGES)
def test_answers_that_are_lost_while_something_is_replaced_double_nothing(
    workplace: Workplace, server: LabelboxServer, change: str, trouble: Trouble
) -> None:
    """A class is added once, and what an earlier night found is replaced as a whole."""
    prepare(workplace, REPLACING)
    server.faults.plan(change, trouble, 2)

    done = workplace.deliver([workplace.delivery(name) for name in VIDEOS], **REPLACING)

    assert {} == done.refused
    assert not server.faults.planned, f"{change} was never asked"
    one_of_each(server)
    (ontology,) = server.world.ontologies.values()
    assert ["ball", "player"] == sorted(tool["name"] for tool in server.world.normalized(ontology)["tools"])


@pytest.mark.parametrize("trouble", ["429", "429 html", "500", "502 html", "graphql 500", "reset"])
@pytest.mark.parametrize("call", ["createDataset", "upsertDataRows", "uploadFile", "modelErrorAnalysis"])
def test_what_passes_is_tried_again(workplace: Workplace, server: LabelboxServer, call: str, trouble: Trouble) -> None:
    """429, 5xx and resets cost a while, and nothing else."""
    server.faults.plan(call, trouble, 2)

    done = workplace.deliver([workplace.delivery(name) for name in VIDEOS])

    assert {} == done.refused
    one_of_each(server)


@pytest.mark.parametrize(
    ("trouble", "error"), [("429", RateLimited), ("500", ServiceUnavailable), ("reset", ServiceUnavailable)]
)
@pytest.mark.parametrize("call", ["datasets", "createModelRun", "GET ndjson"])
def test_what_does_not_pass_ends_as_an_error_that_may(
    workplace: Workplace, server: LabelboxServer, call: str, trouble: Trouble, error: type[ReelrouteError]
) -> None:
    """After a few attempts the error says so; the same delivery, tried again, is then whole."""
    server.faults.plan(call, trouble, 99)
    sink, deliveries = workplace.sink(), [workplace.delivery(name) for name in VIDEOS]

    with pytest.raises(error if "GET" not in call else ServiceUnavailable):
        workplace.deliver(deliveries, sink)
    server.faults.planned.clear()
    done = sink.finish(deliveries)

    assert done is not None
    assert {} == done.refused
    one_of_each(server)


def test_retry_after_is_honoured(server: LabelboxServer) -> None:
    """The service says how long to wait, and we wait no shorter."""
    slept: list[float] = []
    server.faults.plan("organization", "429", 2)

    box = open_box(server, sleep=slept.append, chance=lambda: 0.0)
    box.workspace()

    assert [1.0, 1.0] == slept


def test_retry_after_may_be_seconds_or_a_date() -> None:
    """Both forms of HTTP are read; a moment that has passed is no wait, and nonsense says nothing."""
    from tasks.sinks.labelbox.sdk import seconds

    soon = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)

    assert 7.0 == seconds("7")
    assert 3500 < (seconds(soon) or 0) <= 3600
    assert 0.0 == seconds("Wed, 21 Oct 2015 07:28:00 GMT")
    assert [None, None] == [seconds("soon"), seconds(None)]


def test_a_request_that_hangs_is_given_up(server: LabelboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request waits for ever; the next attempt may be luckier."""
    from tasks.sinks.labelbox import sdk

    send = sdk._Adapter.send
    monkeypatch.setattr(sdk._Adapter, "send", lambda *args, **how: send(*args, **{**how, "timeout": 0.3}))
    server.faults.plan("organization", "hang", 2)

    assert "Test workspace" == open_box(server).workspace()
    assert 3 == server.faults.calls.count("organization")


def test_an_unreachable_service_is_told_as_such(workplace: Workplace, server: LabelboxServer) -> None:
    """Nobody there: the message names the host, the hint what to check, and neither the key."""
    box = open_box(server, attempts=2)
    server.close()

    with pytest.raises(ServiceUnavailable, match="cannot be reached") as caught:
        box.workspace()

    assert "127.0.0.1" in caught.value.message
    assert "LABELBOX_ENDPOINT" in caught.value.hint


@pytest.mark.parametrize(
    ("trouble", "reason"), [("reset", "Connection reset by peer|Remote end closed"), ("hang", "timed out")]
)
def test_a_lost_connection_names_its_reason_alone(
    server: LabelboxServer, monkeypatch: pytest.MonkeyPatch, trouble: Trouble, reason: str
) -> None:
    """Not what three libraries have wrapped around it."""
    from tasks.sinks.labelbox import sdk

    send = sdk._Adapter.send
    monkeypatch.setattr(sdk._Adapter, "send", lambda *args, **how: send(*args, **{**how, "timeout": 0.3}))
    server.faults.plan("organization", trouble, 99)

    with pytest.raises(ServiceUnavailable) as caught:
        open_box(server, attempts=2).workspace()

    assert re.search(f"failed: ({reason})[^()']*$", caught.value.message), caught.value.message


def test_two_processes_at_once_leave_one_of_each_thing(server: LabelboxServer, tmp_path: Path) -> None:
    """Of two things that were made in the same moment the older stays, and who made the other gives it up."""
    ours, theirs = open_box(server), open_box(server)
    mine: list[str] = []
    find = ours.datasets

    def late(name: str) -> list[str]:
        found = find(name)
        if not mine:
            mine.append(theirs.dataset(name))
        return found

    ours.datasets = late  # type: ignore[method-assign]

    assert mine == [ours.dataset("matches")]
    assert ["matches"] == server.named(server.world.datasets)


def test_an_import_costs_as_long_as_it_takes(server: LabelboxServer, tmp_path: Path) -> None:
    """The first look is soon, the later ones are rarer, none is rarer than every 15 s; no real time passes."""
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    patience = Patience(sleep=sleep, clock=lambda: now[0])
    patience.until(lambda: True if now[0] >= 1.0 else None, "an import of one second")
    took = now[0]
    patience.until(lambda: True if now[0] >= 300.0 else None, "an import of five minutes")

    assert 0.25 == slept[0]
    assert 1.0 <= took <= 1.25
    assert 15.0 == max(slept)
    assert now[0] <= 315.0


def test_an_import_that_does_not_end_is_left_and_taken_over(workplace: Workplace, server: LabelboxServer) -> None:
    """After the deadline the batch waits for the next run, which finds the import where it is."""
    server.world.import_s = 0.5
    sink = workplace.sink(deadline_s=0.1)
    deliveries = [workplace.delivery(name) for name in VIDEOS]

    with pytest.raises(ReelrouteError) as caught:
        workplace.deliver(deliveries, sink)
    done = workplace.deliver(deliveries)

    assert "still_processing" == caught.value.code
    assert {} == done.refused
    assert 1 == len(server.world.uploads)
    one_of_each(server)


def test_an_import_of_other_company_is_waited_for(workplace: Workplace, server: LabelboxServer) -> None:
    """What a dead process sent does not arrive on top of what the next one sends."""
    server.world.import_s = 0.5
    with pytest.raises(ReelrouteError):
        workplace.deliver([workplace.delivery("a.mp4")], workplace.sink(deadline_s=0.1))
    server.world.import_s = 0.0

    done = workplace.deliver([workplace.delivery(name) for name in VIDEOS])

    assert {} == done.refused
    assert 2 == len(server.world.uploads)
    one_of_each(server)


def test_an_import_that_was_left_days_ago_is_replaced(workplace: Workplace, server: LabelboxServer) -> None:
    """Labelbox keeps result files for a day; without them nobody knows what an import took."""
    server.world.import_s = 0.3
    deliveries = [workplace.delivery(name) for name in VIDEOS]
    with pytest.raises(ReelrouteError):
        workplace.deliver(deliveries, workplace.sink(deadline_s=0.1))
    server.world.import_s = 0.0
    for begun in server.world.imports.values():
        begun["ready"] = 0.0
    server.world.advance()
    server.world.expire_files()

    done = workplace.deliver(deliveries)

    assert {} == done.refused
    assert 2 == len(server.world.uploads)
    one_of_each(server)
