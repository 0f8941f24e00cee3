"""Submission beside another process that takes the job over: only who holds the attempt sends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tasks.domain.errors import LedgerConflict
from tasks.domain.job import JobState
from tasks.ledger.base import JobRecord
from tasks.run import Run
from tasks.submit import submit_job
from tests.rig import Rig
from tests.unit.tasks.test_submit import held


def taken_over(rig: Rig, run: Run, other: Run, job: JobRecord, *, settled: bool = True) -> None:
    """Another process finds the job after its lease, and calls it unknown as :func:`tasks.infer.advance` does."""
    rig.clock.now += 2 * run.lease
    found = other.ledger.claim(job.key, other.owner, other.lease, rig.clock.now)
    assert found is not None
    other.ledger.move(job.key, found.state, JobState.UNKNOWN, other.owner, rig.clock.now)
    if settled:
        other.ledger.release(job.key, other.owner)


async def test_a_process_that_slept_through_its_lease_does_not_send(rig: Rig) -> None:
    """Taken over between intent and request: what the other has in its hands is left to it."""
    run, other = rig.run(), rig.run()
    job = held(rig, run)
    rig.backend.before_confirming = lambda: taken_over(rig, run, other, job, settled=False)

    with pytest.raises(LedgerConflict):
        await submit_job(run, job)

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert ([], JobState.UNKNOWN, other.owner) == (rig.backend.asked, kept.state, kept.lease_owner)


async def test_what_was_not_sent_is_unknown_to_nobody(rig: Rig) -> None:
    """The other process could not know that nothing was sent; we do, and submit once."""
    run, other = rig.run(), rig.run()
    job = held(rig, run)
    rig.backend.before_confirming = once(lambda: taken_over(rig, run, other, job))

    done = await submit_job(run, job)

    assert (JobState.SUBMITTED, "job-1", 1) == (done.state, done.job_id, rig.backend.taken)
    assert [
        "planned",
        "submitting",
        "unknown",
        "planned",
        "submitting",
        "submitted",
    ] == [move.state for move in run.ledger.story(job.key)]


async def test_a_process_that_slept_right_before_the_first_byte_does_not_send(rig: Rig) -> None:
    """Confirmed, connected, suspended: the lease that was good then says nothing now."""
    run, other = rig.run(), rig.run()
    job = held(rig, run)
    rig.backend.before_sending = lambda: taken_over(rig, run, other, job, settled=False)

    with pytest.raises(LedgerConflict):
        await submit_job(run, job)

    assert [] == rig.backend.asked


async def test_an_attempt_that_another_process_began_anew_is_not_ours_to_send(rig: Rig) -> None:
    """The same state under another token is another attempt, whoever holds the lease now."""
    run, other = rig.run(), rig.run()
    job = held(rig, run)

    def begin_anew() -> None:
        taken_over(rig, run, other, job, settled=False)
        other.ledger.move(job.key, JobState.UNKNOWN, JobState.PLANNED, other.owner, rig.clock.now)
        other.ledger.move(job.key, JobState.PLANNED, JobState.SUBMITTING, other.owner, rig.clock.now, token="theirs")
        other.ledger.release(job.key, other.owner)

    rig.backend.before_confirming = begin_anew
    with pytest.raises(LedgerConflict):
        await submit_job(run, job)

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert ([], JobState.SUBMITTING, "theirs") == (rig.backend.asked, kept.state, kept.token)


async def test_a_clock_that_is_set_forward_is_no_suspension(rig: Rig) -> None:
    """Nobody took the job, and no time has passed: it is sent."""
    run = rig.run()
    rig.backend.before_sending = lambda: rig.clock.set_back(-run.lease)

    done = await submit_job(run, held(rig, run))

    assert (JobState.SUBMITTED, 1) == (done.state, len(rig.backend.asked))


def once(step: Callable[[], None]) -> Callable[[], None]:
    """The step the first time, and nothing after it."""
    left = [step]
    return lambda: left.pop()() if left else None
