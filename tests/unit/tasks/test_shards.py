"""Large runs in parts: the split, the share of the budget, what is added up; and pipelines by name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from config.form import Form
from config.problems import PipelineInvalid
from tasks.choose import Estimate
from tasks.domain.errors import AuthRefused, InputInvalid
from tasks.domain.job import DeliveryState, JobState
from tasks.kept import keep_form, named_pipeline
from tasks.ledger.base import JobRecord
from tasks.plan import Assessment, make_plan
from tasks.report import Outcome
from tasks.run import Run
from tasks.shards import add_up, batch_of, held_until, holding_shard, jobs_in, join, notes_of, spare, split
from tests.clips import write_clip
from tests.rig import Rig

BUDGET = "budget: {max_videos: 100, max_video_minutes: 10, cost_per_1000_frames: 1, max_cost: 9}"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Five clips."""
    rig = Rig(tmp_path)
    rig.videos.mkdir()
    first = write_clip(rig.videos / "0.mp4", frames=25)
    for number in range(1, 5):
        (rig.videos / f"{number}.mp4").write_bytes(first.read_bytes())
    return rig


def planned(rig: Rig, run: Run) -> list[str]:
    """List and plan; return the ids of the shards of two."""
    rig.listed(run)
    return split(run, make_plan(run, 0), 2)


async def test_a_list_is_split_and_taken_part_by_part(rig: Rig) -> None:
    """Every job is in one shard, and a shard that is held is nobody else's."""
    run, other = rig.run(), rig.run()
    ids = planned(rig, run)
    batch = batch_of(ids[0])
    taken: list[str] = []

    async with holding_shard(run, batch, ids[1]) as first, holding_shard(other, batch, ids[1]) as second:
        assert first is not None
        assert second is not None
        assert (ids[1], ids[0]) == (first.id, second.id)
        taken += [*first.jobs, *second.jobs]
    async with holding_shard(other, batch, ids[2]) as third:
        assert third is not None
        taken += third.jobs

    assert 3 == len(ids)
    assert {job.key for job in run.ledger.jobs("yard")} == set(taken)
    assert 5 == len(taken)
    assert set() == run.ledger.owners()


def test_what_is_left_of_the_budget_is_shared_among_second_chances(rig: Rig) -> None:
    """Together the shards can spend no more than one run could: four shards, a quarter each, rounded down."""
    run = rig.run(more=BUDGET)
    rig.listed(run)
    make_plan(run, 0)
    assert run.allowance is not None
    run.allowance.spent = Estimate(videos=90, frames=8000, minutes=2.0, cost=8.0)

    assert {"max_videos": 2, "max_video_minutes": 2.0, "max_cost": 0.25} == spare(run, 4)
    assert {} == spare(rig.run(), 4)


def test_a_helper_keeps_to_its_share_and_to_the_runs_day(rig: Rig) -> None:
    """Its share used up, it refuses; dates in routes are the run's."""
    run = rig.run(more=BUDGET)
    ids = planned(rig, run)
    rig.clock.now += timedelta(days=1)
    helper = rig.run(more=BUDGET)
    shard = helper.ledger.shard(ids[0])
    assert shard is not None

    join(helper, shard)

    assert run.started_at == helper.started_at
    assert helper.allowance is not None
    job = jobs_in(helper, shard)[0]
    found = Assessment(job.video, job.info, 5000, None)  # 5 of the 9 - 0.025 in three parts are too much
    assert "budget.max_cost 2.99167" == helper.allowance.refuses(found)


def test_jobs_of_the_dead_are_waited_for_until_their_last_lease(rig: Rig) -> None:
    """Not those of our own, nor those that have ended."""
    run, dead = rig.run(), rig.run()
    jobs = rig.listed(run)
    for owner, job, minutes in ((dead.owner, jobs[0], 2), (dead.owner, jobs[1], 3), (run.owner, jobs[2], 9)):
        run.ledger.claim(job.key, owner, timedelta(minutes=minutes), rig.clock.now)

    now = list(run.ledger.jobs("yard"))
    assert rig.clock.now + timedelta(minutes=3) == held_until(run, now)
    assert held_until(run, [job for job in now if job.lease_owner != dead.owner]) is None


def finish(run: Run, job: JobRecord) -> None:
    """Take a job to its delivery to one route."""
    run.ledger.claim(job.key, run.owner, run.lease, run.clock())
    for before, after in zip(
        (JobState.PLANNED, JobState.SUBMITTING, JobState.SUBMITTED),
        (JobState.SUBMITTING, JobState.SUBMITTED, JobState.SUCCEEDED),
        strict=True,
    ):
        run.ledger.move(job.key, before, after, run.owner, run.clock())
    run.ledger.plan_deliveries("yard", job.key, run.fingerprints, run.clock())
    name = ("yard", job.key, "results", run.owner)
    run.ledger.claim_delivery(*name, run.lease, run.clock())
    run.ledger.finish_delivery(*name, DeliveryState.DELIVERED, run.clock())


async def test_one_report_adds_up_what_all_did(rig: Rig) -> None:
    """Counted from the ledger, so that nothing is missing of a process that died; only of this run's list."""
    run, helper = rig.run(), rig.run()
    ids = planned(rig, run)
    jobs = list(run.ledger.jobs("yard"))
    for job in jobs[:4]:
        finish(helper, job)
    told = Outcome(warnings=["slow"], stopped=AuthRefused("no key"))
    async with holding_shard(helper, batch_of(ids[0]), ids[0]) as shard:
        assert shard is not None
        assert helper.ledger.finish_shard(shard.id, helper.owner, notes_of(told), helper.clock())

    outcome = Outcome()
    add_up(run, batch_of(ids[0]), [job.key for job in jobs[1:]], outcome)

    assert (3, 3, {"results": 3}, ["slow"]) == (
        outcome.submitted,
        outcome.succeeded,
        dict(outcome.delivered),
        outcome.warnings,
    )
    assert isinstance(outcome.stopped, AuthRefused)
    assert 3 == outcome.stopped.exit_code


def test_a_form_is_found_by_its_name_wherever_the_ledger_is(rig: Rig) -> None:
    """So `collect` and helpers go on with it; a mistake is told before anything is kept."""
    settings = rig.settings()
    form = Form(source=str(rig.videos), model="oidv4/1", backend="local", results=str(rig.out))
    with pytest.raises(InputInvalid, match="no pipeline 'adhoc-0'"):
        named_pipeline("adhoc-0", settings)

    name = keep_form(form, settings)

    assert name.startswith("adhoc-")
    assert (name, f"file://{rig.videos}/") == (
        named_pipeline(name, settings).name,
        named_pipeline(name, settings).sources[0].uri,
    )
    with pytest.raises(PipelineInvalid, match="form: model: 'x' is not a model"):
        keep_form(Form(source="a", model="x", backend="local", results="b"), settings)
