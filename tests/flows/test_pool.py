"""The pool: backlog and new work at once, and every video's end counted, on a real Prefect server."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from flows.pool import Pool
from tasks import collect
from tasks.breaker import MOST_ODD
from tasks.domain.errors import (
    AccessDenied,
    AuthRefused,
    CredentialsRefused,
    LedgerUnavailable,
    NotTheService,
    ReelrouteError,
    RequestRefused,
    SubmissionUnknown,
)
from tasks.domain.job import JobState
from tasks.infer import advance
from tasks.inference.base import JobStatus
from tasks.ledger.base import JobRecord
from tasks.plan import make_plan
from tasks.progress import Watcher, watcher
from tasks.report import Outcome
from tasks.run import Run
from tests.clips import write_clip
from tests.rig import Rig, ScriptedBackend

pytestmark = pytest.mark.engine

BACKLOG = 12


class Gate(ScriptedBackend):
    """A service whose jobs end only when all of them have been asked about."""

    def __init__(self, jobs: int) -> None:
        super().__init__()
        self.jobs = jobs
        self.asked_for: set[str] = set()
        self.all_asked = asyncio.Event()

    async def check(self, job_id: str) -> JobStatus:
        self.asked_for.add(job_id)
        # Held back in real time: the rig's clock runs ahead with every wait, up to the jobs' deadline.
        if len(self.asked_for) == self.jobs:
            self.all_asked.set()
        await self.all_asked.wait()
        return await super().check(job_id)


class Told(Watcher):
    """Remembers which videos it was told are done."""

    def __init__(self) -> None:
        self.finished_videos: list[str] = []

    def finished(self, video: str, problem: str) -> None:
        self.finished_videos.append(f"{video} {problem}")


@pytest.fixture
def rig(tmp_path: Path, prefect_server: str) -> Rig:
    """A run's surroundings, with a folder of clips."""
    rig = Rig(tmp_path)
    rig.videos.mkdir()
    first = write_clip(rig.videos / "0.mp4", frames=25)
    for n in range(1, BACKLOG):
        (rig.videos / f"{n}.mp4").write_bytes(first.read_bytes())
    return rig


async def pooled(run: Run, todo: list[str], **switches: Any) -> tuple[Outcome, list[str]]:
    """Run the pool as a flow does; returns what it counted and whose results it named."""
    outcome, stored = Outcome(), list[str]()

    @flow(name="pool", persist_result=False)
    async def work() -> None:
        await Pool(run, outcome, stored.append, **switches).infer_all(todo)

    await work()
    return outcome, stored


async def leave_all_in_flight(rig: Rig, run: Run) -> None:
    """Submit every video, as a run with --no-wait does."""
    for job in rig.listed(run):
        async with run.holding(job.key) as held:
            assert held is not None
            await advance(run, held, wait=False)


async def test_a_backlog_larger_than_the_pool_is_polled_as_a_whole(rig: Rig) -> None:
    """Jobs at the service need no worker: with two workers all twelve are asked about before one has ended."""
    rig.backend = gate = Gate(BACKLOG)
    await leave_all_in_flight(rig, rig.run())
    gate.asked_for.clear()
    later = rig.run(inference=", max_in_flight: 2")

    outcome, stored = await pooled(later, [])

    assert (BACKLOG, 0, BACKLOG) == (outcome.succeeded, outcome.submitted, len(set(stored)))
    assert BACKLOG == gate.taken
    assert {JobState.SUCCEEDED} == {job.state for job in later.ledger.jobs("yard")}


async def test_asked_once_what_is_not_done_stays(rig: Rig) -> None:
    """One question per job and no more."""
    await leave_all_in_flight(rig, rig.run())
    rig.backend.checks += [False] * (BACKLOG - 1) + [True]

    outcome, stored = await pooled(rig.run(), [], once=True)

    assert (1, 1, []) == (outcome.succeeded, len(stored), rig.backend.checks)


async def test_a_run_that_is_stopped_submits_nothing_more(rig: Rig) -> None:
    """The submission under way is recorded; the others stay planned, and nobody is told that one of them is done."""
    run = rig.run(inference=", max_in_flight: 1")
    rig.listed(run)
    todo = make_plan(run, 0).todo
    rig.backend.before_answer = lambda: run.stop.ask(15)
    told = Told()
    token = watcher.set(told)

    outcome, _ = await pooled(run, todo)

    watcher.reset(token)
    assert (1, 1, []) == (outcome.submitted, rig.backend.taken, told.finished_videos)
    states = sorted(str(job.state) for job in run.ledger.jobs("yard"))
    assert ["planned"] * (BACKLOG - 1) + ["submitted"] == states
    assert {""} == {job.lease_owner for job in run.ledger.jobs("yard")}


@pytest.mark.parametrize(
    ("error", "code", "stops"),
    [
        (AccessDenied(f"cannot write results ({errno.EROFS})", hint="mount it"), "access_denied", False),
        (AuthRefused("401"), "auth_refused", True),
    ],
)
async def test_a_fault_that_says_nothing_about_the_video_is_told_by_its_own_code(
    rig: Rig, error: ReelrouteError, code: str, stops: bool
) -> None:
    """The job stays at the service, and the report says what was in the way and what to do."""
    await leave_all_in_flight(rig, rig.run())
    rig.backend.downloads = [error] * BACKLOG
    run = rig.run()

    outcome, stored = await pooled(run, [])

    assert [] == stored
    assert {code} == {failure.code for failure in outcome.passing.values()}
    assert {error.hint} == {failure.hint for failure in outcome.passing.values()}
    assert stops is (outcome.stopped is not None)
    assert {JobState.SUBMITTED} == {job.state for job in run.ledger.jobs("yard")}


async def test_a_ledger_that_goes_away_ends_the_run_with_one_error_that_can_be_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with a group of groups of them."""
    await leave_all_in_flight(rig, rig.run())
    run = rig.run()

    def gone(*_: Any, **__: Any) -> None:
        raise LedgerUnavailable("the database went away")

    monkeypatch.setattr(run.ledger, "claim", gone)

    with pytest.raises(LedgerUnavailable, match="went away"):
        await pooled(run, [])


class OddAbout(ScriptedBackend):
    """A service that says something odd about one job, and does well by the others."""

    def __init__(self, odd: Exception) -> None:
        super().__init__()
        self.odd = odd

    async def check(self, job_id: str) -> JobStatus:
        if job_id == "job-3":
            raise self.odd
        return await super().check(job_id)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize(
    "odd",
    [RequestRefused("400"), NotTheService("302"), AuthRefused("403"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "")],
    ids=lambda error: type(error).__name__,
)
async def test_an_odd_answer_about_one_job_ends_no_other(rig: Rig, odd: Exception, once: bool) -> None:
    """All others are collected; it is left, or expires at its deadline with what was said of it."""
    rig.backend = OddAbout(odd)
    await leave_all_in_flight(rig, rig.run())
    if once:
        rig.clock.now += timedelta(days=1)
    run = rig.run()

    outcome, stored = await pooled(run, [], once=once)

    assert (BACKLOG - 1, BACKLOG - 1) == (outcome.succeeded, len(stored))
    (left,) = [job for job in run.ledger.jobs("yard") if job.state is not JobState.SUCCEEDED]
    assert (JobState.EXPIRED, "deadline_passed") == (left.state, left.failure.code if left.failure else "")
    assert left.failure is not None
    assert "the last answer" in left.failure.message


async def test_an_error_of_ours_about_one_job_ends_no_other(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where nobody foresaw it: the job stays at the service, and the report says so."""
    await leave_all_in_flight(rig, rig.run())
    run = rig.run()
    unlucky = next(iter(run.ledger.jobs("yard"))).key
    given = collect.await_job

    async def stumble(run: Run, job: JobRecord, *, once: bool = False) -> bool:
        if job.key == unlucky:
            raise KeyError("bug")
        return await given(run, job, once=once)

    monkeypatch.setattr("flows.pool.await_job", stumble)

    outcome, _ = await pooled(run, [])

    assert BACKLOG - 1 == outcome.succeeded
    assert {unlucky: "unexpected"} == {key: failure.code for key, failure in outcome.passing.items()}


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (SubmissionUnknown("502"), JobState.UNKNOWN),
        (NotTheService("log in"), JobState.PLANNED),
    ],
)
async def test_a_few_answers_of_others_in_a_row_stop_the_run(rig: Rig, answer: ReelrouteError, state: JobState) -> None:
    """A captive portal, a gateway that is down: few jobs are in doubt, none has failed, the rest is planned."""
    run = rig.run()
    rig.listed(run)
    todo = make_plan(run, 0).todo
    rig.backend.submits = [answer] * 100

    outcome, _ = await pooled(run, todo)

    assert outcome.stopped is not None
    assert (3, MOST_ODD) == (outcome.stopped.exit_code, len(rig.backend.asked))
    states = Counter(job.state for job in run.ledger.jobs("yard"))
    assert Counter([state] * MOST_ODD + [JobState.PLANNED] * (BACKLOG - MOST_ODD)) == states


async def test_credentials_that_end_in_mid_run_stop_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is signed any more: no video has failed, and none is asked for."""
    run = rig.run()
    rig.listed(run)
    todo = make_plan(run, 0).todo

    def refuse(_: object) -> None:
        raise CredentialsRefused("the session token has expired")

    monkeypatch.setattr(run.stores, "grant_planned", refuse)

    outcome, _ = await pooled(run, todo)

    assert isinstance(outcome.stopped, CredentialsRefused)
    assert (3, []) == (outcome.stopped.exit_code, rig.backend.asked)
    assert {JobState.PLANNED} == {job.state for job in run.ledger.jobs("yard")}
