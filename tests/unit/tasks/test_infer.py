"""One video's task: it does what the job still needs, and never more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from flows.pool import Pool
from tasks.domain.errors import LedgerConflict, ServiceUnavailable, SubmissionUnknown
from tasks.domain.job import JobState
from tasks.infer import Inferred, advance
from tasks.ledger.base import JobRecord
from tasks.owner import clear_dead_work, is_dead, new_owner, work_prefix, work_root
from tasks.report import Outcome
from tasks.run import Run
from tasks.submit import submit_job
from tests.rig import Rig


def first(rig: Rig, run: Run) -> JobRecord:
    """The first job of the listing."""
    return rig.listed(run)[0]


async def test_a_planned_job_goes_all_the_way(rig: Rig) -> None:
    """Planned, submitted, collected: one task, one submission."""
    run = rig.run()
    async with run.holding(first(rig, run).key) as job:
        assert job is not None
        ended = await advance(run, job, wait=True)

    assert (JobState.SUCCEEDED, True, 1) == (ended.state, ended.submitted, rig.backend.taken)


async def test_without_waiting_the_job_is_left_at_the_service(rig: Rig) -> None:
    """`--no-wait` submits and leaves; the lease is free for whoever collects."""
    run, later = rig.run(), rig.run()
    async with run.holding(first(rig, run).key) as job:
        assert job is not None
        ended = await advance(run, job, wait=False)

    assert JobState.SUBMITTED is ended.state
    async with later.holding(ended.key) as again:
        assert again is not None


async def test_a_submitted_job_of_a_dead_run_is_only_collected(rig: Rig) -> None:
    """What was paid for is not paid again."""
    run = rig.run()
    async with run.holding(first(rig, run).key) as job:
        assert job is not None
        await submit_job(run, job)

    later = rig.run()
    async with later.holding(job.key) as left:
        assert left is not None
        ended = await advance(later, left, wait=True)

    assert (JobState.SUCCEEDED, False, 1) == (ended.state, ended.submitted, rig.backend.taken)


async def test_a_job_whose_submitter_died_is_unknown(rig: Rig) -> None:
    """Between intent and answer nobody can know: it is shown, and not sent again."""
    run = rig.run()
    async with run.holding(first(rig, run).key) as job:
        assert job is not None
        await run.move(job, JobState.SUBMITTING, token="t")

    later = rig.run()
    async with later.holding(job.key) as left:
        assert left is not None
        with pytest.raises(SubmissionUnknown):
            await advance(later, left, wait=True)

    found = later.ledger.job(job.key)
    assert found is not None
    assert (JobState.UNKNOWN, 0) == (found.state, rig.backend.taken)


async def test_a_job_held_by_a_living_run_is_left_alone(rig: Rig) -> None:
    """Two runs at once: the second gets nothing to do."""
    run, other = rig.run(), rig.run()
    async with run.holding(first(rig, run).key) as job, other.holding(first(rig, run).key) as same:
        assert job is not None
        assert same is None


async def test_what_is_due_is_noted_before_the_results_are_stored(rig: Rig) -> None:
    """A run that dies right after storing results leaves deliveries for the next one to find."""
    run = rig.run()
    async with run.holding(first(rig, run).key) as job:
        assert job is not None
        await advance(run, job, wait=False)

    assert {"results", "lightly", "labelbox"} == {
        delivery.route for delivery in run.ledger.deliveries("yard", job_key=job.key)
    }


async def test_a_job_at_another_hosted_service_is_not_asked_for_here(rig: Rig) -> None:
    """Asking the wrong service would call a paid job lost."""
    run = rig.run()
    async with run.holding(first(rig, run).key) as job:
        assert job is not None
        await submit_job(run, job)
    later = rig.run()
    later.service = "https://api.elsewhere.example"
    object.__setattr__(later.spec, "backend", "roboflow")

    async with later.holding(job.key) as left:
        assert left is not None
        with pytest.raises(ServiceUnavailable, match="elsewhere"):
            await advance(later, left, wait=True)


def test_owners_are_unique() -> None:
    """Two runs in one process are two owners."""
    assert new_owner() != new_owner()


def test_a_process_that_has_ended_is_dead_and_this_one_is_not() -> None:
    """Only what is certain counts: an owner on another machine may live."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = new_owner()
    machine, _, rest = mine.partition(":")

    assert not is_dead(mine)
    assert is_dead(f"{machine}:{ended.pid}:{rest.rpartition(':')[2]}")
    assert not is_dead(f"another-host/1:{ended.pid}:ab")
    assert not is_dead("garbage")


def test_a_process_that_nobody_has_asked_about_is_dead_too() -> None:
    """A worker's child that was killed is a zombie for as long as its parent does not look."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        machine, _, rest = new_owner().partition(":")
        owner = f"{machine}:{process.pid}:{rest.rpartition(':')[2]}"
        assert not is_dead(owner)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert is_dead(owner)


def test_work_of_dead_runs_is_cleared_and_of_living_ones_kept(rig: Rig) -> None:
    """Killed runs do not fill the disk with half-done files; what another machine does nobody can tell."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    root = work_root(rig.settings())
    machine = work_prefix().partition("-")[0]
    living, elsewhere = f"{work_prefix()}x", f"0123abcd-{ended.pid}-x"
    for name in (f"{machine}-{ended.pid}-x", living, elsewhere):
        (root / name).mkdir(parents=True)

    clear_dead_work(rig.settings())

    assert {living, elsewhere} == {folder.name for folder in root.iterdir()}


async def test_what_was_submitted_is_counted_although_another_process_took_it_over(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was suspended finds its job in other hands: that it submitted it remains true, and is said once."""
    run, outcome = rig.run(), Outcome()
    pool = Pool(run, outcome, lambda _: None)

    async def lost(_: Run, job: JobRecord) -> JobRecord:
        raise LedgerConflict(f"{job.video}: another process took the job over")

    monkeypatch.setattr("tasks.infer.collect_job", lost)
    async with run.holding(first(rig, run).key) as job:
        assert job is not None
        with pytest.raises(LedgerConflict):
            await advance(run, job, wait=True)
    await pool._note(job, Inferred(job.key, None))
    await pool._note(job, Inferred(job.key, JobState.SUCCEEDED))

    assert (1, 1, 1) == (outcome.submitted, outcome.elsewhere, rig.backend.taken)
