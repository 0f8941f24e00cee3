"""Collect and replay by the command line: nothing is paid that nobody agreed to, counted at the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.domain.job import JobState
from tests.flows.conftest import Yard
from tests.flows.scripted import ScriptedYard
from tests.scripted_service import ScriptedService

pytestmark = pytest.mark.engine

FAILED = {"status": 2, "error": "worker_crashed", "message": "it broke", "hint": "try again"}


@pytest.fixture
def scripted(tmp_path: Path, prefect_server: str) -> Iterator[ScriptedYard]:
    """A yard with two clips, at a service that plays a script."""
    (tmp_path / "videos").mkdir()
    with ScriptedService() as service:
        yard = ScriptedYard(Yard(tmp_path, {"PREFECT_API_URL": prefect_server}), service)
        yard.yard.clip("a.mp4")
        yard.yard.clip("b.mp4")
        yield yard


def test_what_a_run_left_is_collected_and_nothing_submitted(scripted: ScriptedYard) -> None:
    """Once in vain, then to the end, without naming the pipeline; a new video is none of its business."""
    service, yard = scripted.service, scripted.yard
    yard.reelroute("run", "yard", "--no-wait", "--json")
    yard.clip("new.mp4")
    service.polls = 1

    once = yard.reelroute("collect", "yard", "--once", "--json")
    assert (0, 2, 0) == (once.code, once.json["in_flight"], once.json["submitted"])

    done = yard.reelroute("collect", "--json")
    assert 0 == done.code, done.stderr
    (summary,) = done.json["pipelines"]
    assert ("yard", 2, 2, 0) == tuple(summary[name] for name in ("pipeline", "discovered", "succeeded", "in_flight"))
    assert {"results": 2, "labelbox": 2} == summary["delivered"]
    assert 2 == len(service.jobs)

    nothing = yard.reelroute("collect", "--json")
    assert (0, []) == (nothing.code, nothing.json["pipelines"])


def test_failed_jobs_are_paid_again_only_after_somebody_agreed(scripted: ScriptedYard) -> None:
    """Exit code 2 and nothing done without a terminal; with --yes the failed one alone is submitted."""
    service, yard = scripted.service, scripted.yard
    service.verdicts["job-1"] = FAILED
    first = yard.reelroute("run", "yard", "--json")
    assert (1, 2, 1) == (first.code, first.json["submitted"], first.json["failed"])

    harmless = yard.reelroute("replay", "yard", "--json")
    assert (0, 0, 2) == (harmless.code, harmless.json["discovered"], len(service.jobs))

    asked = yard.reelroute("replay", "yard", "--failed", "--json")
    assert (2, "input_invalid", 2) == (asked.code, asked.json["error"]["code"], len(service.jobs))
    assert "1 job is submitted and paid again: 5 frames" in asked.json["error"]["message"]
    assert "about 0.01" in asked.json["error"]["message"]

    again = yard.reelroute("replay", "yard", "--failed", "--yes", "--json")
    assert 0 == again.code, again.stderr
    assert (1, 1, 1, 3) == (
        again.json["discovered"],
        again.json["submitted"],
        again.json["succeeded"],
        len(service.jobs),
    )
    assert {JobState.SUCCEEDED} == {job.state for job in scripted.jobs()}


def test_a_late_result_is_collected_and_a_route_is_delivered_to_again_without_paying(scripted: ScriptedYard) -> None:
    """Expired jobs are asked for first; what is stored goes to a route as often as one likes."""
    service, yard = scripted.service, scripted.yard
    scripted.pipeline(deadline="2s")
    service.polls = 1_000_000
    late = yard.reelroute("run", "yard", "--json")
    assert {"deadline_passed"} == {failure["code"] for failure in late.json["failures"]}
    scripted.pipeline()
    service.polls = 0

    found = yard.reelroute("replay", "yard", "--failed", "--yes", "--json")
    assert 0 == found.code, found.stderr
    assert (2, 0, 2) == (found.json["succeeded"], found.json["submitted"], len(service.jobs))

    kept = yard.out / "results" / "a.mp4.json.gz"
    kept.unlink()
    routed = yard.reelroute("replay", "yard", "--route", "results", "--video", "a.mp4", "--json")
    assert (0, {"results": 1, "labelbox": 0}) == (routed.code, routed.json["delivered"]), routed.stderr
    assert kept.is_file()
    assert 2 == len(service.jobs)

    mistaken = yard.reelroute("replay", "yard", "--route", "results", "--failed")
    unknown = yard.reelroute("replay", "yard", "--route", "lightly")
    assert (2, 2) == (mistaken.code, unknown.code)
    assert "results, labelbox" in unknown.stderr
