"""Copies in whole runs: the flow's pool, on a real Prefect server, and the command line over a bucket."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from flows.pool import Pool
from flows.routing import Router
from tasks.domain.errors import JobFailed
from tasks.domain.job import JobState
from tasks.plan import make_plan
from tasks.report import Outcome
from tasks.run import Run
from tests.clips import write_clip
from tests.flows.clouds import enter
from tests.flows.conftest import Yard
from tests.rig import Rig
from tests.scripted_service import KEY, ScriptedService

pytestmark = pytest.mark.engine

ON = ", dedupe: content"
NAMES = ("a.mp4", "b.mp4", "c.mp4")
PIPELINE = """
name: yard
sources: [{{uri: "{videos}"}}]
inference: {{backend: roboflow, model: players-x1/1, fps: 5, poll_interval: 0.2s, dedupe: content}}
routes: [{{to: results, uri: "{out}/results"}}]
"""


@pytest.fixture
def rig(tmp_path: Path, prefect_server: str) -> Rig:
    """One film under three names."""
    rig = Rig(tmp_path)
    rig.videos.mkdir()
    write_clip(rig.videos / NAMES[0], frames=25)
    for name in NAMES[1:]:
        shutil.copyfile(rig.videos / NAMES[0], rig.videos / name)
    return rig


async def go(run: Run, rig: Rig, *, wait: bool = True) -> Outcome:
    """Discover, plan, infer and route, as the flow does."""
    outcome = Outcome()
    await asyncio.to_thread(rig.listed, run)
    plan = await asyncio.to_thread(make_plan, run, 0)
    async with Router(run, outcome) as router:
        await Pool(run, outcome, router.put, wait=wait, copies=plan.copies).infer_all([*plan.reuse, *plan.todo])
    return outcome


def states(run: Run) -> dict[str, JobState]:
    return {job.video.name: job.state for job in run.ledger.jobs("yard")}


async def test_copies_of_one_run_are_paid_once_and_all_delivered(rig: Rig) -> None:
    """The first is submitted, the others take its results; each reaches every route under its own name."""
    run = rig.run(inference=ON)
    outcome = await go(run, rig)

    assert (1, 1, 2, 1) == (outcome.submitted, outcome.succeeded, outcome.reused, rig.backend.taken)
    assert {"results": 3, "lightly": 3, "labelbox": 3} == outcome.delivered
    assert dict.fromkeys(NAMES, JobState.SUCCEEDED) == states(run)
    assert {f"{name}.json.gz" for name in NAMES} == {path.name for path in rig.out.glob("results/*.gz")}


async def test_if_the_paid_one_fails_the_next_is_submitted_in_its_place(rig: Rig) -> None:
    """And the third takes over what that one brings: nothing is lost with the first."""
    run = rig.run(inference=ON)
    rig.backend.checks = [JobFailed("broken", code="job_failed")]
    outcome = await go(run, rig)

    assert (2, 1, 1, 2) == (outcome.submitted, outcome.succeeded, outcome.reused, rig.backend.taken)
    assert [JobState.FAILED, JobState.SUCCEEDED, JobState.SUCCEEDED] == [states(run)[name] for name in NAMES]


async def test_a_budget_counts_a_copy_that_has_to_be_paid_after_all(rig: Rig) -> None:
    """It was planned for nothing; what the budget no longer covers waits for another run, and is said."""
    run = rig.run(inference=ON, more="budget: {max_videos: 1}")
    rig.backend.checks = [JobFailed("broken", code="job_failed")]
    outcome = await go(run, rig)

    assert 1 == rig.backend.taken
    assert [JobState.FAILED, JobState.PLANNED, JobState.PLANNED] == [states(run)[name] for name in NAMES]
    assert 2 == len([warning for warning in outcome.warnings if "budget.max_videos 1" in warning])


async def test_without_waiting_copies_are_left_to_the_next_run(rig: Rig) -> None:
    """Which pays nothing."""
    first = await go(rig.run(inference=ON), rig, wait=False)
    second = await go(rig.run(inference=ON), rig)

    assert (1, 0, 2, 1) == (first.submitted, second.submitted, second.reused, rig.backend.taken)
    assert ["2 videos are copies" in warning for warning in first.warnings] == [True]
    assert 3 == second.delivered["results"]


async def test_two_runs_at_once_pay_once(rig: Rig) -> None:
    """Whichever has the original, the other leaves its copies alone."""
    both = [rig.run(inference=ON) for _ in range(2)]
    outcomes = await asyncio.gather(*(go(run, rig) for run in both))
    last = await go(rig.run(inference=ON), rig)

    assert 1 == rig.backend.taken
    assert dict.fromkeys(NAMES, JobState.SUCCEEDED) == states(both[0])
    assert 3 == sum(outcome.delivered["results"] for outcome in (*outcomes, last))


@pytest.mark.parametrize("name", ["gcs", "azure"])
def test_a_video_that_was_moved_in_a_bucket(
    tmp_path: Path, prefect_server: str, request: pytest.FixtureRequest, name: str
) -> None:
    """By the store's own hash: `plan` tells it, `run` pays nothing, and the results are there under the new name."""
    cloud = enter(name, request, tmp_path)
    store, clip = cloud.store(cloud.videos), write_clip(tmp_path / "clip.mp4", frames=25).read_bytes()
    store.write("old/a.mp4", clip)
    text = PIPELINE.format(videos=cloud.videos, out=tmp_path / "out")
    (tmp_path / "yard.yaml").write_text(text.replace('"}]', f'"{cloud.keys}}}]', 1))
    with ScriptedService() as service:
        here = {"PREFECT_API_URL": prefect_server, "ROBOFLOW_API_URL": service.base_url, "ROBOFLOW_API_KEY": KEY}
        yard = Yard(tmp_path, {**cloud.environment, **here})
        first = yard.reelroute("run", "yard.yaml", "--json")
        assert (0, 1, 0) == (first.code, first.json["submitted"], first.json["reused"]), first.stderr
        store.delete("old/a.mp4")
        store.write("new/b.mp4", clip)

        told = yard.reelroute("plan", "yard.yaml", "--json")
        moved = yard.reelroute("run", "yard.yaml", "--json")

        assert (1, 0) == (told.json["reused"], told.json["estimate"]["videos"]), told.stderr
        assert (0, 0, 1, 1) == (moved.code, moved.json["submitted"], moved.json["reused"], len(service.jobs))
    assert {"results": 1} == moved.json["delivered"]
    assert (tmp_path / "out" / "results" / "new" / "b.mp4.json.gz").is_file()
