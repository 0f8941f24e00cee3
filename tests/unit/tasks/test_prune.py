"""Pruning: what is over for long goes, and what anybody may still ask for stays."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flows.routing import Router
from tasks import prune
from tasks.discover import record_listing
from tasks.domain.errors import AccessDenied, InputInvalid, LedgerUnusable, ResultPruned
from tasks.domain.job import DeliveryState, JobState
from tasks.infer import advance
from tasks.ledger.base import JobRecord
from tasks.owner import work_prefix
from tasks.prune import Pruned, prune_all, prune_now, read_age
from tasks.replay import Wanted, plan_again, select
from tasks.report import Outcome
from tasks.route import prepare
from tasks.run import Run
from tests.clips import write_clip
from tests.rig import NOON, Rig

AGE = timedelta(days=90)
LATER = NOON + timedelta(days=100)
NOTHING = Pruned(0, 0, 0, 0, 0, 0, 0)


async def whole(run: Run, rig: Rig) -> list[JobRecord]:
    """Bring what a listing finds the whole way to its routes; returns the jobs that were listed."""
    record_listing(run)
    listed = list(run.ledger.jobs("yard", seen_since=run.started_at))
    for job in listed:
        if job.state is JobState.PLANNED:
            async with run.holding(job.key) as held:
                assert held is not None
                await advance(run, held, wait=True)
        for one in run.ledger.plan_deliveries("yard", job.key, run.fingerprints, run.clock()):
            name = ("yard", job.key, one.route)
            run.ledger.claim_delivery(*name, run.owner, run.lease, run.clock())
            run.ledger.finish_delivery(*name, run.owner, DeliveryState.DELIVERED, run.clock())
    rig.clock.now += timedelta(hours=1)
    return listed


def dated(path: Path, when: datetime) -> Path:
    """A file that was changed last at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (when.timestamp(), when.timestamp()))
    return path


def pruned(run: Run, *, now: datetime = LATER, pipeline: str | None = None, dry_run: bool = False) -> Pruned:
    found = prune_all(run.ledger, run.settings, now, older_than=AGE, pipeline=pipeline, dry_run=dry_run)
    assert [] == found.warnings
    return found


async def replaced(rig: Rig) -> tuple[Run, JobRecord, JobRecord]:
    """A run after a.mp4 was replaced: version A and version B of it, both delivered."""
    run = rig.run()
    [first] = [job for job in await whole(run, rig) if job.video.name == "a.mp4"]
    write_clip(rig.videos / "a.mp4", frames=26)
    run = rig.run()
    [second] = [job for job in await whole(run, rig) if job.video.name == "a.mp4"]
    assert first.key != second.key
    return run, first, second


async def test_the_results_of_a_replaced_version_go_and_the_jobs_stay(rig: Rig) -> None:
    """A dry run says the same and changes nothing; a second prune finds nothing."""
    run, first, second = await replaced(rig)
    stored = {one.key for one in run.results.list()}
    facts = {job.key: (job.state, job.attempts, job.job_id, job.submitted_at) for job in run.ledger.jobs()}

    announced = pruned(run, dry_run=True)
    assert stored == {one.key for one in run.results.list()}
    found = pruned(run)

    assert (announced.history, 1, 1) == (found.history, announced.results, found.results)
    assert found.history > 0
    assert {f"{first.key[:2]}/{first.key}.json.gz"} == stored - {one.key for one in run.results.list()}
    assert facts == {job.key: (job.state, job.attempts, job.job_id, job.submitted_at) for job in run.ledger.jobs()}
    assert second.key == run.ledger.current_job("yard", first.video.uri, run.spec)
    assert (0, 0) == (pruned(run).history, pruned(run).results)
    run.ledger.close()


async def test_a_version_that_comes_back_after_its_results_were_pruned_fails_with_what_to_do(
    rig: Rig, tmp_path: Path
) -> None:
    """Nothing is paid by itself; ``replay --failed`` takes it up, and then the routes have it."""
    before = (rig.videos / "a.mp4").read_bytes(), (rig.videos / "a.mp4").stat()
    run, first, _ = await replaced(rig)
    pruned(run)
    (rig.videos / "a.mp4").write_bytes(before[0])
    os.utime(rig.videos / "a.mp4", ns=(before[1].st_atime_ns, before[1].st_mtime_ns))
    run = rig.run()
    record_listing(run)
    router = Router(run, Outcome())
    assert first.key in router._left_over()

    assert (None, []) == router._prepare(first.key, tmp_path)

    failed = run.ledger.job(first.key)
    assert failed is not None
    assert failed.failure is not None
    assert (JobState.FAILED, "store", "result_pruned") == (failed.state, failed.failure.stage, failed.failure.code)
    assert "replay PIPELINE --failed" in failed.failure.hint
    assert ("", first.job_id or "job-1") == (failed.lease_owner, failed.job_id)
    assert [] == select(run.ledger, run.pipeline, run.spec, Wanted()).ask
    assert [first.key] == select(run.ledger, run.pipeline, run.spec, Wanted(failed=True)).ask

    again = await plan_again(run, first.key)
    assert again is not None
    async with run.holding(first.key) as held:
        assert held is not None
        await advance(run, held, wait=True)
    delivery, routes = router._prepare(first.key, tmp_path)
    assert delivery is not None
    assert set(run.fingerprints) == set(routes)
    run.ledger.close()


async def test_what_is_not_stored_any_more_is_not_looked_for(rig: Rig, tmp_path: Path) -> None:
    """The error is about the job, not about an object of no name."""
    run, first, _ = await replaced(rig)
    pruned(run)
    job = run.ledger.job(first.key)
    assert job is not None
    with pytest.raises(ResultPruned, match="were pruned"):
        prepare(run, job, tmp_path)
    run.ledger.close()


async def test_a_store_that_does_not_delete_loses_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger still says that the results are there, and the next prune takes them; all else is done."""
    run, first, _ = await replaced(rig)
    report = dated(rig.folder / "home" / "reports" / "20260301T120000-yard-0123abcd.md", NOON)

    class Stubborn:
        def delete(self, key: str) -> None:
            raise AccessDenied(f"may not delete {key}")

    with monkeypatch.context() as patch:
        patch.setattr(prune, "open_results", lambda _: Stubborn())
        with pytest.raises(AccessDenied):
            pruned(run)
    assert not report.exists()
    assert 1 == len(run.ledger.story(first.key))
    job = run.ledger.job(first.key)
    assert job is not None
    assert job.result_key
    assert 1 == pruned(run).results
    run.ledger.close()


def test_files_of_this_home_go_by_their_age(rig: Rig) -> None:
    """Reports of one pipeline by its exact name; logs and work folders with everything; what is young stays."""
    run, home = rig.run(), rig.folder / "home"
    reports = [
        dated(home / "reports" / f"20260301T120000-{name}-0123abcd.{suffix}", NOON)
        for name in ("yard", "my-yard")
        for suffix in ("md", "json")
    ]
    log, work = dated(home / "logs" / "inference-service.log", NOON), home / "work" / "0a1b2c3d-77-x"
    dated(work / "results.json", NOON)
    os.utime(work, (NOON.timestamp(), NOON.timestamp()))
    young = [dated(home / "logs" / "other.log", LATER), dated(home / "work" / f"{work_prefix()}y" / "f", LATER)]

    assert 2 == pruned(run, pipeline="yard", dry_run=True).reports
    assert all(path.exists() for path in reports)
    own = pruned(run, pipeline="yard")
    assert (2, 0, 0) == (own.reports, own.logs, own.work)
    assert [False, False, True, True] == [path.exists() for path in reports]
    rest = pruned(run)
    assert (2, 1, 1) == (rest.reports, rest.logs, rest.work)
    assert not any(path.exists() for path in (*reports, log, work))
    assert all(path.exists() for path in young)
    run.ledger.close()


async def test_the_ledger_s_file_shrinks_where_a_tenth_of_it_is_free(rig: Rig) -> None:
    """And is left alone where it would not pay."""
    run = rig.run()
    await whole(run, rig)
    file = rig.folder / "home" / "ledger.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE ballast (content)")
        connection.executemany("INSERT INTO ballast VALUES (?)", [("x" * 4000,)] * 500)
        connection.commit()
        connection.execute("DROP TABLE ballast")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    large = file.stat().st_size

    assert pruned(run).compacted
    run.ledger.close()
    assert file.stat().st_size < large - 1_000_000
    later = rig.run()
    assert not pruned(later).compacted
    later.ledger.close()


def test_a_ledger_that_cannot_shrink_is_a_warning(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else is done by then."""
    run = rig.run()

    def full() -> bool:
        raise LedgerUnusable("the disk is full")

    monkeypatch.setattr(run.ledger, "compact", full)
    found = prune_all(run.ledger, run.settings, LATER, older_than=AGE)
    assert "the disk is full" in found.warnings[0]
    run.ledger.close()


@pytest.mark.parametrize("text", ["", "90", "-90d", "23h", "0d", "a week", "90d ", "99999d"])
def test_an_age_is_a_day_or_more(text: str) -> None:
    """Runs of today may still look at what is younger."""
    with pytest.raises(InputInvalid, match="is not an age of a day or more"):
        read_age(text)


def test_without_a_ledger_there_is_nothing_to_prune(rig: Rig) -> None:
    """None is made, and a pipeline that does not exist is told."""
    assert NOTHING == prune_now(rig.settings())
    assert not (rig.folder / "home").exists()
    with pytest.raises(InputInvalid):
        prune_now(rig.settings(), pipeline=str(rig.folder / "nowhere.yaml"))
    assert timedelta(days=90) == read_age(prune.OLDER_THAN)
