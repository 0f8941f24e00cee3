"""Waiting for thousands of jobs at once: each is asked at its interval, all within one rate, in flat memory."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from tasks.collect import await_job
from tasks.domain.errors import AuthRefused, JobFailed, JobUnknown, RateLimited, ReelrouteError, ServiceUnavailable
from tasks.domain.job import JobState
from tasks.inference.base import JobStatus
from tasks.ledger.base import JobRecord
from tasks.run import POLLS_PER_S, Run
from tests.rig import NOON, Rig, ScriptedBackend
from tests.virtual_time import run_virtually

JOBS = 2000
HOUR_S = 3600.0


class Counting(ScriptedBackend):
    """A service at which nothing ever ends; counts who is asked for, and the most in any second of the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for: Counter[str] = Counter()
        self.most_in_a_second = 0
        self._second = (0, 0)

    async def check(self, job_id: str) -> JobStatus:
        self.asked_for[job_id] += 1
        second, count = int(asyncio.get_running_loop().time()), self._second[1]
        self._second = (second, count + 1 if second == self._second[0] else 1)
        self.most_in_a_second = max(self.most_in_a_second, self._second[1])
        return JobStatus(False)


def hosted(rig: Rig) -> tuple[Run, JobRecord]:
    """A run with the hosted service's interval, and a job that it has submitted."""
    run = rig.run()
    waits = {"poll_interval": timedelta(seconds=60), "deadline": timedelta(hours=6)}
    inference = run.pipeline.inference.model_copy(update=waits)
    run.pipeline = run.pipeline.model_copy(update={"inference": inference})
    run.chance = random.Random(7).random
    job = rig.listed(run)[0]
    return run, replace(job, state=JobState.SUBMITTED, job_id="job-0", submitted_at=NOON)


def test_two_thousand_open_jobs_are_polled_for_an_hour_as_often_as_the_interval_says(rig: Rig) -> None:
    """Sixty questions per job, give or take one; never more in a second than the rate; no memory gained."""
    rig.backend = service = Counting()
    run, job = hosted(rig)
    blocks: list[int] = []

    async def an_hour() -> list[bool]:
        loop = asyncio.get_running_loop()
        run.clock = lambda: NOON + timedelta(seconds=loop.time())
        run.sleep = asyncio.sleep
        run.polls._timer = loop.time
        jobs = [replace(job, job_id=f"job-{n}") for n in range(JOBS)]
        waiting = [asyncio.create_task(await_job(run, one)) for one in jobs]
        for seconds in (600.0, HOUR_S - 600.0):
            await asyncio.sleep(seconds)
            gc.collect()
            blocks.append(sys.getallocatedblocks())
        run.stop.ask(signal.SIGTERM)
        return await asyncio.gather(*waiting)

    ended = run_virtually(an_hour())

    asked = Counter(service.asked_for.values())
    print(f"{JOBS} jobs, one hour: {dict(asked)} (questions: jobs), {blocks[1] - blocks[0]} blocks of memory gained")
    assert [False] * JOBS == ended
    assert JOBS == len(service.asked_for)
    assert set(service.asked_for.values()) <= {59, 60, 61}
    assert service.most_in_a_second <= 2 * POLLS_PER_S  # a burst, and the second's own
    early, late = blocks
    assert late - early < JOBS  # not one block of memory for each job, let alone for each question


def test_more_jobs_than_the_rate_allows_are_each_asked_less_often_and_all_alike(rig: Rig) -> None:
    """Beyond rate times interval everybody waits longer, and nobody starves."""
    rig.backend = service = Counting()
    run, job = hosted(rig)

    async def half_an_hour() -> None:
        loop = asyncio.get_running_loop()
        run.clock = lambda: NOON + timedelta(seconds=loop.time())
        run.sleep = asyncio.sleep
        run.polls._timer = loop.time
        run.polls._apart_s = 1.0
        waiting = [asyncio.create_task(await_job(run, replace(job, job_id=f"job-{n}"))) for n in range(300)]
        await asyncio.sleep(HOUR_S / 2)
        run.stop.ask(signal.SIGTERM)
        await asyncio.gather(*waiting)

    run_virtually(half_an_hour())

    assert 300 == len(service.asked_for)
    assert max(service.asked_for.values()) - min(service.asked_for.values()) <= 2
    assert sum(service.asked_for.values()) <= HOUR_S / 2 + 50 + 1


@pytest.mark.parametrize("fate", [True, JobFailed("no"), JobUnknown("404"), AuthRefused("401")])
async def test_whatever_there_is_to_do_ends_the_wait_and_is_left_to_others(
    rig: Rig, fate: ReelrouteError | bool
) -> None:
    """Done, failed, lost or refused: the wait is over, and nothing is recorded by it."""
    run, job = hosted(rig)
    rig.backend.checks = [False, fate]
    before = run.ledger.job(job.key)

    assert await await_job(run, job)
    assert before == run.ledger.job(job.key)


async def test_an_overdue_job_ends_the_wait(rig: Rig) -> None:
    """The deadline counts from the submission, also of an earlier run."""
    run, job = hosted(rig)
    rig.backend.checks = [False] * 10
    rig.clock.now = NOON + timedelta(hours=6, seconds=1)

    assert await await_job(run, job)
    assert [] == rig.clock.slept


async def test_asking_once_leaves_what_is_not_done(rig: Rig) -> None:
    """`--once` puts one question and goes."""
    run, job = hosted(rig)
    rig.backend.checks = [False, True]

    assert not await await_job(run, job, once=True)
    assert await await_job(run, job, once=True)


async def test_a_longer_wait_that_the_service_asks_for_is_kept(rig: Rig) -> None:
    """429 with Retry-After: the next question comes no sooner, and no later than the deadline."""
    run, job = hosted(rig)
    rig.backend.checks = [RateLimited("429", retry_after_s=900.0), ServiceUnavailable("503", retry_after_s=1e9), True]

    assert await await_job(run, job)
    assert [900.0, 6 * 3600 - 900.0] == rig.clock.slept
