"""Before a job is submitted: its turn, a free slot, and nothing held by the dead."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from tasks.domain.errors import LedgerUnavailable, Retryable, SlotsFull
from tasks.domain.job import JobState
from tasks.infer import advance
from tasks.ledger.base import JobRecord
from tasks.owner import bury_the_dead, new_owner
from tasks.run import SUBMIT_BURST_S, Run
from tasks.submit import ATTEMPTS, submit_job
from tests.rig import Rig

ONE = ", max_in_flight: 1"


def held(run: Run, job: JobRecord) -> JobRecord:
    """A job with its lease taken by the run."""
    claimed = run.ledger.claim(job.key, run.owner, run.lease, run.clock())
    assert claimed is not None
    return claimed


async def filled(rig: Rig) -> tuple[Run, JobRecord, Run, JobRecord]:
    """A run that has taken the only slot, and another one with a job of its own."""
    first, second = rig.run(inference=ONE), rig.run(inference=ONE)
    one, other = rig.listed(first)
    open_job = await submit_job(first, held(first, one))
    return first, open_job, second, held(second, other)


def when_it_sleeps(rig: Rig, run: Run, times: int, step: Callable[[], object]) -> None:
    """Do something when a run sleeps for the so-manieth time."""
    sleep = rig.clock.sleep

    async def sleep_and_act(seconds: float) -> None:
        await sleep(seconds)
        if len(rig.clock.slept) == times:
            step()

    run.sleep = sleep_and_act


async def test_a_job_waits_for_a_slot_as_long_as_it_takes(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Longer than any number of attempts; it is said once, and nothing is sent meanwhile."""
    first, open_job, second, job = await filled(rig)
    rounds = 3 * ATTEMPTS
    sent = []

    def end_the_other() -> None:
        sent.append(rig.backend.taken)
        first.ledger.move(open_job.key, JobState.SUBMITTED, JobState.SUCCEEDED, first.owner, first.clock())

    when_it_sleeps(rig, second, rounds, end_the_other)
    with caplog.at_level(logging.INFO, "tasks.submit"):
        done = await submit_job(second, job)

    assert ([1], 2, rounds) == (sent, rig.backend.taken, len(rig.clock.slept))
    assert (JobState.SUBMITTED, 1) == (done.state, done.attempts)
    said = [record.getMessage() for record in caplog.records]
    waits = [text for text in said if "max_in_flight" in text]
    assert 1 == len(waits)
    assert "1 job is open at http://127.0.0.1:9, and max_in_flight is 1" in waits[0]


async def test_a_slot_is_looked_for_no_more_often_than_jobs_end(rig: Rig) -> None:
    """A poll is the soonest that a slot becomes free; jitter keeps the waiting from coming at once."""
    first, open_job, second, job = await filled(rig)
    when_it_sleeps(rig, second, 2, lambda: first.ledger.abandon(first.owner, first.clock()))
    when_it_sleeps(
        rig,
        second,
        2,
        lambda: first.ledger.move(open_job.key, JobState.SUBMITTED, JobState.FAILED, first.owner, first.clock()),
    )
    chances = iter([0.0, 0.5, 1.0])
    second.chance = lambda: next(chances)
    await submit_job(second, job)

    assert [5.0, 10.0] == rig.clock.slept


async def test_a_run_that_does_not_wait_leaves_what_finds_no_slot(rig: Rig) -> None:
    """`--no-wait` never collects, so waiting for a slot could take for ever: a later run takes the job."""
    _, _, second, job = await filled(rig)
    ended = await advance(second, job, wait=False)

    kept = second.ledger.job(job.key)
    assert kept is not None
    assert (JobState.PLANNED, 0, 1) == (ended.state, ended.submitted, rig.backend.taken)
    assert (JobState.PLANNED, 0, None) == (kept.state, kept.attempts, kept.failure)


async def test_a_run_that_is_asked_to_stop_waits_no_longer(rig: Rig) -> None:
    """The job stays planned, and nothing is sent."""
    _, _, second, job = await filled(rig)
    when_it_sleeps(rig, second, 1, lambda: second.stop.ask(signal.SIGTERM))
    with pytest.raises(SlotsFull):
        await submit_job(second, job)
    with pytest.raises(Retryable, match="asked to stop"):
        await submit_job(second, job)

    kept = second.ledger.job(job.key)
    assert kept is not None
    assert (JobState.PLANNED, 1) == (kept.state, rig.backend.taken)


async def test_a_slot_is_free_again_after_the_deadline(rig: Rig) -> None:
    """A job that nobody collects blocks others for no longer than its deadline."""
    _, _, second, job = await filled(rig)
    rig.clock.now += timedelta(minutes=10)

    assert JobState.SUBMITTED is (await submit_job(second, job)).state
    assert [] == rig.clock.slept


async def test_submissions_have_a_rate(rig: Rig) -> None:
    """After a pause a burst goes at once, then so many a second and no more."""
    burst = int(4 * SUBMIT_BURST_S)
    for number in range(burst):
        (rig.videos / f"{number}.mp4").write_bytes(b"x")
    run = rig.run(inference=", submits_per_second: 4")
    rig.clock.now += timedelta(minutes=1)
    for job in rig.listed(run):
        await submit_job(run, held(run, job))

    assert burst + 2 == rig.backend.taken
    assert [1 / 4] * 2 == pytest.approx(rig.clock.slept)


def test_what_killed_processes_held_is_given_back_at_once(rig: Rig) -> None:
    """A run that starts right after a SIGKILL waits for no lease; those of the living stay."""
    run = rig.run()
    one, other = rig.listed(run)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    machine, _, rest = new_owner().partition(":")
    dead = f"{machine}:{ended.pid}:{rest.rpartition(':')[2]}"
    living, elsewhere = new_owner(), f"another-host/1:{ended.pid}:ab"
    run.ledger.claim(one.key, dead, run.lease, run.clock())
    run.ledger.claim(other.key, living, run.lease, run.clock())
    run.ledger.plan_deliveries("yard", one.key, run.fingerprints, run.clock())
    for route, owner in (("results", dead), ("lightly", elsewhere)):
        run.ledger.claim_delivery("yard", one.key, route, owner, run.lease, run.clock())

    bury_the_dead(run.ledger, run.clock())

    assert {living, elsewhere} == run.ledger.owners()
    assert run.ledger.claim(one.key, run.owner, run.lease, run.clock()) is not None
    assert run.ledger.claim_delivery("yard", one.key, "results", run.owner, run.lease, run.clock()) is not None


async def test_work_that_is_done_stays_done_if_the_lease_cannot_be_given_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that goes away at the last moment costs nothing: the lease ends by itself."""
    run = rig.run()
    job = rig.listed(run)[0]

    def gone(*_: object) -> None:
        raise LedgerUnavailable("gone")

    monkeypatch.setattr(run.ledger, "release", gone)
    async with run.holding(job.key) as mine:
        assert mine is not None

    assert {run.owner} == run.ledger.owners()


async def test_the_id_of_a_job_that_was_taken_is_recorded_as_soon_as_the_ledger_is_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is away at that moment costs neither the job nor a second one; the log names it meanwhile."""
    run = rig.run()
    job = held(run, rig.listed(run)[0])
    move, gone = run.ledger.move, iter(range(3))

    def shaky(key: str, expected: JobState, to: JobState, *rest: Any, **facts: Any) -> JobRecord:
        if to is JobState.SUBMITTED and next(gone, None) is not None:
            raise LedgerUnavailable("the ledger is away")
        return move(key, expected, to, *rest, **facts)

    monkeypatch.setattr(run.ledger, "move", shaky)
    done = await submit_job(run, job)

    assert (JobState.SUBMITTED, "job-1", 1, 1) == (done.state, done.job_id, done.attempts, rig.backend.taken)
    assert 3 == len([record for record in caplog.records if "job-1" in record.getMessage()])


async def test_all_leases_of_a_run_are_renewed_in_one_go(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many jobs it holds; and no more once it holds none."""
    for number in range(40):
        (rig.videos / f"{number}.mp4").write_bytes(b"x")
    run = rig.run()
    run.lease = timedelta(milliseconds=30)
    renew, renewed, twice = run.ledger.renew, list[int](), asyncio.Event()

    def counted(*asked: Any) -> int:
        renewed.append(renew(*asked))
        if len(renewed) == 2:
            loop.call_soon_threadsafe(twice.set)
        return renewed[-1]

    loop = asyncio.get_running_loop()
    jobs = rig.listed(run)
    async with AsyncExitStack() as stack:
        for job in jobs:
            assert await stack.enter_async_context(run.holding(job.key)) is not None
        monkeypatch.setattr(run.ledger, "renew", counted)
        await twice.wait()

    so_far = len(renewed)
    await asyncio.sleep(20 * run.lease.total_seconds())
    assert [len(jobs)] * 2 == renewed[:2]
    assert len(renewed) <= so_far + 1  # one may have been under way
    assert set() == run.ledger.owners()
