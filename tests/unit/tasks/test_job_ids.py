"""An id that the ledger cannot take is kept beside it, and the next run goes on from there."""

from __future__ import annotations

import logging
import resource
import signal
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.domain.errors import LedgerConflict, LedgerUnavailable, LedgerUnusable, ReelrouteError
from tasks.domain.job import JobState
from tasks.job_ids import NAME, RESERVED, JobIds, TakenJob
from tasks.ledger import database
from tasks.ledger.base import JobRecord
from tasks.run import Run
from tasks.stop import Stop
from tasks.submit import submit_job
from tests.rig import NOON, Rig

pytestmark = pytest.mark.usefixtures("elsewhere")


def kept(rig: Rig) -> list[str]:
    """The service's ids that are kept beside the ledger."""
    return [taken.job_id for taken in JobIds(rig.settings().home).read()]


async def held(rig: Rig, run: Run) -> JobRecord:
    """The first listed job, with its lease taken."""
    claimed = await run.claim(rig.listed(run)[0].key)
    assert claimed is not None
    return claimed


def state_of(run: Run, job: JobRecord) -> tuple[JobState, str]:
    found = run.ledger.job(job.key)
    assert found is not None
    return found.state, found.job_id


# --- ledgers that take nothing while the answer is under way; each gives a way to make it well again ---


@contextmanager
def full(_: Path) -> Iterator[None]:
    """No file grows any more, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (RESERVED, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def locked(ledger: Path) -> Iterator[None]:
    """Another program holds a transaction open, for longer than we wait."""
    other = sqlite3.connect(ledger, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def gone(ledger: Path) -> Iterator[None]:
    """Somebody removes the file, which stays open here."""
    for path in ledger.parent.glob("ledger.db*"):
        path.unlink()
    yield


@contextmanager
def replaced(ledger: Path) -> Iterator[None]:
    """Somebody puts a copy of yesterday in its place."""
    copy = ledger.with_name("copy.db")
    with sqlite3.connect(ledger) as now, sqlite3.connect(copy) as then:
        now.backup(then)
    now.close()
    then.close()
    for path in ledger.parent.glob("ledger.db*"):
        path.unlink()
    copy.rename(ledger)
    yield


TROUBLES = [full, locked, gone, replaced]


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_id_of_a_job_that_was_taken_survives_its_ledger(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, trouble: Callable[[Path], Iterator[None]]
) -> None:
    """Full, locked, removed or replaced in mid-request: one payment, and the next run collects the job."""
    monkeypatch.setattr(database, "BUSY_S", 0.2)
    rig.settings().home.mkdir()
    run = rig.run()
    run.job_ids.reserve()
    job = await held(rig, run)
    with ExitStack() as stack:
        ledger = rig.settings().home / "ledger.db"
        rig.backend.before_answer = lambda: stack.enter_context(trouble(ledger))  # type: ignore[arg-type]
        with pytest.raises(LedgerUnusable):
            await submit_job(run, job)
    run.ledger.close()

    assert ["job-1"] == kept(rig)
    rig.clock.now += 2 * run.lease
    again = rig.run()
    rig.listed(again)
    again.adopt_job_ids()

    assert (JobState.SUBMITTED, "job-1") == state_of(again, job)
    assert ([], 1) == (kept(rig), rig.backend.taken)
    found = again.ledger.job(job.key)
    assert found is not None
    assert (NOON, "") == (found.submitted_at, found.lease_owner)  # its deadline counts from the service's answer
    assert "planned submitting submitted" in " ".join(move.state for move in again.ledger.story(job.key))


@pytest.mark.parametrize("error", [LedgerUnusable("read-only"), LedgerUnavailable("away")])
async def test_a_ledger_that_takes_no_more_is_told_with_the_id(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: ReelrouteError
) -> None:
    """Read-only, or out of reach until the run is asked to stop: the id is in the log and in the file."""
    run = rig.run()
    run.stop = Stop(grace_s=60)
    job, move = await held(rig, run), run.ledger.move

    def refuse(key: str, expected: JobState, to: JobState, *given: object, **facts: object) -> JobRecord:
        if to is JobState.SUBMITTED:
            raise error
        return move(key, expected, to, *given, **facts)  # type: ignore[arg-type]

    monkeypatch.setattr(run.ledger, "move", refuse)
    run.sleep = _stopping(run)
    with caplog.at_level(logging.INFO, "tasks.submit"), pytest.raises(type(error)):
        await submit_job(run, job)

    assert (JobState.SUBMITTING, "") == state_of(run, job)
    assert ["job-1"] == kept(rig)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("INFO", f"{job.video}: the service has it as job job-1") == said[0]
    assert any(level == "WARNING" and "job-1" in text and NAME in text for level, text in said)


def _stopping(run: Run) -> Callable[[float], Coroutine[Any, Any, None]]:
    async def sleep(_: float) -> None:
        run.stop.ask(signal.SIGTERM)

    return sleep


async def test_a_slow_ledger_has_the_id_written_down_meanwhile(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed while it waits for the ledger loses nothing; one that goes on clears the file."""
    monkeypatch.setattr("tasks.submit.PROMPT_S", 0.0)
    run = rig.run()
    job, move, seen = await held(rig, run), run.ledger.move, list[str]()

    def slow(key: str, expected: JobState, to: JobState, *given: object, **facts: object) -> JobRecord:
        if to is JobState.SUBMITTED:
            assert waited.wait(30)
            seen.extend(kept(rig))
        return move(key, expected, to, *given, **facts)  # type: ignore[arg-type]

    waited, add = threading.Event(), run.job_ids.add

    def added(taken: TakenJob) -> Path:
        place = add(taken)
        waited.set()
        return place

    monkeypatch.setattr(run.ledger, "move", slow)
    monkeypatch.setattr(JobIds, "add", lambda _, taken: added(taken))
    done = await submit_job(run, job)

    assert (JobState.SUBMITTED, ["job-1"], []) == (done.state, seen, kept(rig))


async def test_an_id_that_can_be_written_nowhere_is_told_loudly(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The job ends as unknown, and is not submitted again."""
    run, other = rig.run(), rig.run()
    run.job_ids.places = (rig.folder / "no" / "such", rig.folder)
    job, move = await held(rig, run), run.ledger.move

    def refuse(key: str, expected: JobState, to: JobState, *given: object, **facts: object) -> JobRecord:
        if to is JobState.SUBMITTED:
            raise LedgerUnusable("the disk is full")
        return move(key, expected, to, *given, **facts)  # type: ignore[arg-type]

    monkeypatch.setattr(run.ledger, "move", refuse)
    with pytest.raises(LedgerUnusable) as caught:
        await submit_job(run, job)

    loud = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert 1 == len(loud)
    assert "JOB job-1 AT http://127.0.0.1:9" in loud[0]
    assert (
        "JOB job-1 AT http://127.0.0.1:9" in caught.value.message
    )  # which is in summary and report, whatever logs show
    rig.clock.now += 2 * run.lease
    with pytest.raises(LedgerConflict):
        await submit_job(other, job)
    assert 1 == rig.backend.taken


@pytest.mark.parametrize("released", [True, False], ids=["settled", "still at work"])
async def test_an_id_that_comes_after_a_takeover_is_recorded(rig: Rig, released: bool) -> None:
    """Unknown becomes submitted: at once, or by the next run if the other process has the job in its hands."""
    run, other = rig.run(), rig.run()
    job = await held(rig, run)

    def take_over() -> None:
        rig.clock.now += 2 * run.lease
        taken = other.ledger.claim(job.key, other.owner, other.lease, rig.clock.now)
        assert taken is not None
        other.ledger.move(job.key, taken.state, JobState.UNKNOWN, other.owner, rig.clock.now)
        if released:
            other.ledger.release(job.key, other.owner)

    rig.backend.before_answer = take_over
    if released:
        done = await submit_job(run, job)
        assert (JobState.SUBMITTED, run.owner) == (done.state, done.lease_owner)
    else:
        with pytest.raises(LedgerConflict):
            await submit_job(run, job)
        assert ["job-1"] == kept(rig)
        other.adopt_job_ids()

    assert (JobState.SUBMITTED, "job-1") == state_of(run, job)
    assert ([], 1) == (kept(rig), rig.backend.taken)


async def test_an_id_that_came_too_late_is_told_and_forgotten(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """The job was paid a second time, by a person's decision: its other id stays, and the first one is named."""
    run = rig.run()
    done = await submit_job(run, await held(rig, run))
    run.job_ids.add(TakenJob(done.key, "job-0", run.service, run.clock()))

    run.adopt_job_ids()

    assert ((JobState.SUBMITTED, "job-1"), []) == (state_of(run, done), kept(rig))
    assert any("job-0" in record.getMessage() for record in caplog.records)


async def test_what_is_at_the_service_by_a_kept_id_is_not_planned_to_be_paid(rig: Rig) -> None:
    """A ledger that was lost learns of its jobs when the videos are listed: before anything is submitted."""
    from tasks.plan import make_plan

    lost = rig.listed(rig.run())[0]
    for path in rig.settings().home.glob("ledger.db*"):
        path.unlink()
    run = rig.run()
    run.job_ids.add(TakenJob(lost.key, "job-7", run.service, NOON))
    run.adopt_job_ids()
    assert ["job-7"] == kept(rig)

    rig.listed(run)
    plan = make_plan(run, 0)

    assert lost.key not in plan.todo
    assert len(plan.todo) == 1
    assert ((JobState.SUBMITTED, "job-7"), []) == (state_of(run, lost), kept(rig))
