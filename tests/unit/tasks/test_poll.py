"""Questions about jobs: an odd answer ends no other job, and its own only when that can be believed."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from tasks.collect import DOWNLOADS, await_job, collect_job
from tasks.domain.errors import (
    AuthRefused,
    DeadlinePassed,
    JobUnknown,
    LedgerUnavailable,
    NotTheService,
    PlanRefused,
    ReelrouteError,
    RequestRefused,
    ResultExpired,
    ServiceUnavailable,
)
from tasks.domain.job import Failure, JobState
from tasks.ledger.base import JobRecord
from tasks.poll import LATE_TIMES, TIMES
from tasks.run import Run
from tasks.submit import submit_job
from tests.rig import Rig

ODD = [
    RequestRefused("400"),
    NotTheService("302"),
    NotTheService("404 page"),
    ServiceUnavailable("503"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    KeyError("an error of ours"),
]


async def submitted(rig: Rig, run: Run) -> JobRecord:
    """A job that the service has taken, with its lease ours."""
    job = rig.listed(run)[0]
    claimed = run.ledger.claim(job.key, run.owner, run.lease, run.clock())
    assert claimed is not None
    return await submit_job(run, claimed)


def kept(run: Run, job: JobRecord) -> JobRecord:
    """The job as the ledger has it now."""
    found = run.ledger.job(job.key)
    assert found is not None
    return found


@pytest.mark.parametrize("odd", ODD, ids=lambda error: f"{type(error).__name__}")
async def test_what_says_nothing_about_a_job_is_not_yet(rig: Rig, odd: Exception) -> None:
    """However often it comes before the deadline, the job is collected when it is done."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.backend.checks = [odd] * 20

    assert JobState.SUCCEEDED is (await collect_job(run, job)).state


@pytest.mark.parametrize("odd", ODD, ids=lambda error: f"{type(error).__name__}")
async def test_what_never_says_anything_else_expires_with_its_last_words(rig: Rig, odd: Exception) -> None:
    """The deadline is asked after every kind of answer, and the failure says what came last."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.backend.checks = [odd] * 1000

    assert await await_job(run, job)
    with pytest.raises(DeadlinePassed):
        await collect_job(run, job)

    failure = kept(run, job).failure
    assert failure is not None
    assert (JobState.EXPIRED, "deadline_passed") == (kept(run, job).state, failure.code)
    said = odd.message if isinstance(odd, ReelrouteError) else type(odd).__name__
    assert f"the last answer: {'asking' if said == type(odd).__name__ else said}" in failure.message
    assert said in failure.message


async def test_the_last_words_are_logged_when_they_change_and_not_every_minute(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """A night of the same answer is one line."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.backend.checks = [*[RequestRefused("the answer was 400")] * 9, *[ServiceUnavailable("the answer was 503")] * 9]

    with caplog.at_level(logging.WARNING, "tasks.poll"):
        await collect_job(run, job)

    said = [record.getMessage().rpartition(": ")[2] for record in caplog.records if record.name == "tasks.poll"]
    assert ["the answer was 400", "the answer was 503"] == said


async def test_the_ledger_has_the_last_words_for_as_long_as_they_hold(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written when they change and not with every answer; taken back when the service says how the job is."""
    run = rig.run()
    job = await submitted(rig, run)
    odd, page = [RequestRefused("the answer was 400")] * 5, [NotTheService("a page")] * 3
    rig.backend.checks, written, note = [*odd, *page, *[False] * 5, *odd, False], [], run.ledger.note

    def count(key: str, owner: str, said: Failure | None) -> None:
        note(key, owner, said)
        told = kept(run, job)
        assert (said, JobState.SUBMITTED) == (told.failure, told.state)
        written.append(said.message if said else "")

    monkeypatch.setattr(run.ledger, "note", count)

    await collect_job(run, job)

    assert ["the answer was 400", "a page", "", "the answer was 400", ""] == written


async def test_a_later_run_takes_back_what_an_earlier_one_was_told(rig: Rig) -> None:
    """The service is well again: what it said last night is no longer so."""
    first = rig.run()
    job = await submitted(rig, first)
    rig.backend.checks = [RequestRefused("the answer was 400"), False]
    assert not await await_job(first, job, once=True)
    first.ledger.release(job.key, first.owner)
    later = rig.run()
    held = later.ledger.claim(job.key, later.owner, later.lease, later.clock())
    assert held is not None
    assert held.failure is not None

    assert not await await_job(later, held, once=True)

    assert kept(later, job).failure is None


async def test_a_ledger_that_is_away_for_the_last_words_ends_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are for people; the job goes on, and they are written when they can be."""
    run = rig.run()
    job = await submitted(rig, run)
    note, away = run.ledger.note, [LedgerUnavailable("locked")] * 2

    def stumble(key: str, owner: str, said: Failure | None) -> None:
        if away:
            raise away.pop()
        note(key, owner, said)

    monkeypatch.setattr(run.ledger, "note", stumble)
    rig.backend.checks = [RequestRefused("the answer was 400")] * 3

    for _ in range(3):
        assert not await await_job(run, job, once=True)

    said = kept(run, job).failure
    assert said is not None
    assert "the answer was 400" == said.message


async def test_a_page_in_place_of_results_is_not_yet(rig: Rig) -> None:
    """A gateway shows one for hours: the results are fetched when they are there."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.backend.downloads = [NotTheService("a web page")] * 30

    assert JobState.SUCCEEDED is (await collect_job(run, job)).state


async def test_a_page_that_never_goes_away_expires_with_the_job(rig: Rig) -> None:
    """The deadline holds for results, too, and the failure says what came in their place."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.backend.downloads = [NotTheService("a web page")] * 1000

    with pytest.raises(DeadlinePassed, match="the last answer: a web page"):
        await collect_job(run, job)
    assert JobState.EXPIRED is kept(run, job).state


@pytest.mark.parametrize("once", [False, True])
async def test_a_machine_that_slept_past_the_deadline_asks_before_a_job_expires(rig: Rig, once: bool) -> None:
    """The first questions after nine hours find no network; the job was done all the while."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.clock.now += timedelta(hours=9)
    rig.backend.checks = [ServiceUnavailable("no route to host")] * (LATE_TIMES - 1)

    assert await await_job(run, job, once=once)
    assert JobState.SUCCEEDED is (await collect_job(run, job)).state


async def test_an_overdue_job_that_still_runs_expires_at_the_first_answer(rig: Rig) -> None:
    """That is a word about the job."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.clock.now += timedelta(hours=9)
    rig.backend.checks = [False]

    with pytest.raises(DeadlinePassed, match="still runs"):
        await collect_job(run, job)
    assert [] == rig.clock.slept


async def test_asked_once_an_odd_answer_leaves_the_job(rig: Rig) -> None:
    """One question before the deadline; past it, enough of them to come to an end."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.backend.checks = [RequestRefused("400")] * 1000

    assert not await await_job(run, job, once=True)
    assert 999 == len(rig.backend.checks)
    rig.clock.now += timedelta(hours=9)
    assert await await_job(run, job, once=True)
    assert 999 - LATE_TIMES == len(rig.backend.checks)


async def test_a_job_is_unknown_when_that_is_said_several_times_in_a_row(rig: Rig) -> None:
    """Anything else in between begins the row anew."""
    run = rig.run()
    job = await submitted(rig, run)
    row: list[Exception | bool] = [JobUnknown("404")] * (TIMES - 1)
    rig.backend.checks = [*row, False, *row, NotTheService("502"), *row, True]

    assert JobState.SUCCEEDED is (await collect_job(run, job)).state


@pytest.mark.parametrize("refused", [AuthRefused("403"), PlanRefused("402")])
async def test_a_key_that_is_refused_for_one_job_is_that_jobs_matter(rig: Rig, refused: ReelrouteError) -> None:
    """As long as the service answers about others, it is "not yet"."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.backend.checks = [refused] * 20
    pause = run.sleep

    async def others_are_answered(seconds: float) -> None:
        await pause(seconds)
        run.answered_at = run.clock()

    run.sleep = others_are_answered

    assert JobState.SUCCEEDED is (await collect_job(run, job)).state


async def test_a_result_that_can_never_be_fetched_expires_in_the_end(rig: Rig) -> None:
    """No run gets it, and each has asked: past the deadline it is given up, to be asked for by replay."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.backend.downloads = [ResultExpired("403")] * 1000
    with pytest.raises(ResultExpired):
        await collect_job(run, job)
    assert 1000 - DOWNLOADS == len(rig.backend.downloads)
    rig.clock.now += timedelta(hours=9)

    with pytest.raises(ResultExpired):
        await collect_job(run, job)
    with pytest.raises(DeadlinePassed, match="the last answer: 403"):
        await collect_job(run, job)
    assert JobState.EXPIRED is kept(run, job).state
