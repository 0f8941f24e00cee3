"""Signals: what is under way is finished or recorded, and the next command goes on from there."""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.domain.job import JobState
from tests.flows.conftest import Finished, Yard
from tests.flows.scripted import ScriptedYard
from tests.scripted_service import Fault, ScriptedService

pytestmark = pytest.mark.engine


@pytest.fixture
def scripted(tmp_path: Path, prefect_server: str) -> Iterator[ScriptedYard]:
    """A yard with one clip, at a service that plays a script."""
    (tmp_path / "videos").mkdir()
    with ScriptedService() as service:
        yard = ScriptedYard(Yard(tmp_path, {"PREFECT_API_URL": prefect_server}), service)
        yard.yard.clip("a.mp4")
        yield yard


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_waits_leaves_its_jobs_and_the_next_one_collects_them(
    scripted: ScriptedYard, number: signal.Signals
) -> None:
    """Stopped while it polls: exit code as shells count, a summary, nothing paid twice."""
    service, environment = scripted.service, scripted.yard.environment
    service.polls = 1_000_000
    if number is signal.SIGINT:  # with a Prefect server of the run's own, which is sent it too
        environment |= {"PREFECT_API_URL": "", "PREFECT_HOME": str(scripted.yard.folder / "prefect")}

    ended = scripted.stopped(number, lambda: bool(service.calls("check")), "run", "yard", "--json")

    assert 128 + number == ended.code, ended.stderr
    assert (1, 1, number.name) == (ended.json["submitted"], ended.json["in_flight"], ended.json["interrupted"])
    assert "nothing else is begun" in ended.stderr
    assert "Traceback" not in ended.stderr
    (job,) = scripted.jobs()
    assert (JobState.SUBMITTED, "") == (job.state, job.lease_owner)
    service.polls = 0

    again = scripted.yard.reelroute("run", "yard", "--json")

    assert (0, 0, 1, 1) == (again.code, again.json["submitted"], again.json["succeeded"], len(service.jobs))
    assert {"results": 1, "labelbox": 1} == again.json["delivered"]


def test_a_service_that_hangs_does_not_keep_the_process(scripted: ScriptedYard) -> None:
    """A poll that is never answered is walked away from: it decides nothing."""
    scripted.service.script("check", *[Fault(hang=True)] * 3)

    ended = scripted.stopped(signal.SIGTERM, lambda: bool(scripted.service.calls("check")), "run", "yard", "--json")

    assert 143 == ended.code, ended.stderr
    (job,) = scripted.jobs()
    assert JobState.SUBMITTED is job.state


def test_a_submission_that_is_never_answered_is_unknown_and_settled_by_a_person(scripted: ScriptedYard) -> None:
    """The one ambiguous case: recorded, shown, not sent again, until somebody says so."""
    service, yard = scripted.service, scripted.yard
    service.script("submit", Fault(hang=True, acts=True))

    ended = scripted.stopped(signal.SIGTERM, lambda: bool(service.calls("submit")), "run", "yard", "--json")

    assert 143 == ended.code, ended.stderr
    (job,) = scripted.jobs()
    assert JobState.UNKNOWN is job.state
    again = yard.reelroute("run", "yard", "--json")
    assert (1, 0, 1, 1) == (again.code, again.json["submitted"], again.json["unknown"], len(service.jobs))
    (listed,) = yard.reelroute("status", "yard", "--json").json["failures"]
    assert ("unknown", "submission_unknown", 1) == (listed["state"], listed["code"], listed["attempts"])
    assert "replay PIPELINE --unknown" in listed["hint"]

    asked = yard.reelroute("replay", "yard", "--unknown", "--json")
    assert (2, 1) == (asked.code, len(service.jobs))
    assert "--yes" in asked.json["error"]["hint"]
    assert "billed twice" in asked.stderr

    settled = yard.reelroute("replay", "yard", "--unknown", "--yes", "--json")
    assert (0, 1, 1, 2) == (settled.code, settled.json["submitted"], settled.json["succeeded"], len(service.jobs))
    assert {"results": 1, "labelbox": 1} == settled.json["delivered"]


def test_a_full_disk_in_mid_download_costs_nothing(scripted: ScriptedYard) -> None:
    """Named with what to do; what was paid for stays at the service, and the next run fetches it."""
    yard, service = scripted.yard, scripted.service
    service.results = service.results.replace(b", ", b", " + b" " * (8 << 20), 1)
    done = subprocess.run(
        yard.command("run", "yard", "--json"),
        cwd=yard.folder,
        env=yard.env(),
        capture_output=True,
        text=True,
        timeout=280,
        # No file grows beyond that: the nearest thing to a full disk.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, resource.RLIM_INFINITY)),
    )
    ended = Finished(done.returncode, done.stdout, done.stderr)

    (failure,) = ended.json["failures"]
    assert (1, "storage_unavailable", 1) == (ended.code, failure["code"], len(service.jobs)), ended.stderr
    assert "free space" in failure["hint"]
    assert [JobState.SUBMITTED] == [job.state for job in scripted.jobs()]

    again = yard.reelroute("run", "yard", "--json")
    assert (0, 0, 1, 1) == (again.code, again.json["submitted"], again.json["succeeded"], len(service.jobs)), again.json
    assert {"results": 1, "labelbox": 1} == again.json["delivered"]
