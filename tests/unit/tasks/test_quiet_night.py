"""A night on which nothing is new: what it writes does not grow with what was done before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from flows.routing import Router
from tasks.discover import record_listing
from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.database import Database
from tasks.owner import bury_the_dead
from tasks.plan import make_plan
from tasks.report import Outcome, stand
from tasks.run import Run
from tests.rig import Rig


def night(rig: Rig) -> Run:
    """Everything that a run asks the ledger where nothing is new."""
    run = rig.run()
    bury_the_dead(run.ledger, run.clock())
    record_listing(run)
    assert [] == make_plan(run, 0).todo
    assert set() == Router(run, Outcome())._left_over()
    assert len(list(rig.videos.iterdir())) == stand(run, Outcome()).states[JobState.SUCCEEDED]
    return run


def delivered(rig: Rig, count: int) -> None:
    """So many videos that every route has."""
    rig.videos.mkdir()
    for number in range(count):
        (rig.videos / f"{number:03}.mp4").write_bytes(b"any")
    run = rig.run()
    for job in rig.listed(run):
        run.ledger.claim(job.key, run.owner, run.lease, run.clock())
        for before, after in [
            (JobState.PLANNED, JobState.SUBMITTING),
            (JobState.SUBMITTING, JobState.SUBMITTED),
            (JobState.SUBMITTED, JobState.SUCCEEDED),
        ]:
            run.ledger.move(job.key, before, after, run.owner, run.clock(), result_key=f"{job.key}.json")
        run.ledger.release(job.key, run.owner)
        for one in run.ledger.plan_deliveries(run.pipeline.name, job.key, run.fingerprints, run.clock()):
            run.ledger.claim_delivery(one.pipeline, one.job_key, one.route, run.owner, run.lease, run.clock())
            name = (one.pipeline, one.job_key, one.route)
            run.ledger.finish_delivery(*name, run.owner, DeliveryState.DELIVERED, run.clock())
    run.ledger.close()


@pytest.mark.parametrize("count", [1, 12])
def test_the_listing_is_all_that_is_written(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening writes once, and each batch of the listing once; a lock per delivered video would stop other runs."""
    rig = Rig(tmp_path)
    delivered(rig, count)
    writes: list[None] = []
    write = Database.write

    @contextmanager
    def counted(database: Database) -> Iterator[Connection]:
        writes.append(None)
        with write(database) as connection:
            yield connection

    monkeypatch.setattr(Database, "write", counted)
    night(rig).ledger.close()
    assert 2 == len(writes)
