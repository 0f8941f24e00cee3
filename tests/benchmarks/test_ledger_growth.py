"""What a delivery asks of the ledger, in one that has just begun beside one of 100,000 videos, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import pytest
from sqlalchemy import insert, select, update

from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.database import Database, parse_url, sqlite_url
from tasks.ledger.open import open_ledger
from tasks.ledger.schema import deliveries, jobs
from tasks.ledger.store import SqlLedger
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, add, drive, many, planned, video

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

FEW, MANY = 100, 100_000
ROUNDS, AT_ONCE = 9, 40


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, SqlLedger]]:
    """A ledger of each size, everything in it delivered."""
    made = {}
    for size in (FEW, MANY):
        database = Database(parse_url(sqlite_url(tmp_path_factory.mktemp("ledger") / "ledger.db")))
        open_ledger(sqlite_url(Path(database.where))).close()
        made[size] = SqlLedger(database)
        made[size].plan(PIPELINE, many(size), NOW)
        row: dict[str, object] = {
            "pipeline": PIPELINE,
            "route": "results",
            "fingerprint": "a",
            "state": DeliveryState.DELIVERED,
        }
        row |= {"attempts": 1, "outputs": ("s3://out/a.json",), "lease_owner": "", "updated_at": NOW}
        with database.write() as connection:
            connection.execute(update(jobs).values(state=JobState.SUCCEEDED, result_key="r.json"))
            keys = connection.execute(select(jobs.c.key)).scalars().all()
            connection.execute(insert(deliveries), [{**row, "job_key": key} for key in keys])
    yield made
    for ledger in made.values():
        ledger.close()


def deliver(ledger: SqlLedger, number: int) -> None:
    """What routing one video asks of the ledger, from its look at the job to the end of the delivery."""
    job = ledger.job(planned(video(number))[0], pipeline=PIPELINE)
    assert job is not None
    assert [job.key] == [other.key for other in ledger.jobs(PIPELINE, uri=job.video.uri)]
    name = PIPELINE, job.key, "results"
    ledger.plan_deliveries(PIPELINE, job.key, {"results": f"b{perf_counter()}"}, NOW)
    assert ledger.claim_delivery(*name, "me", LEASE, NOW) is not None
    ledger.finish_delivery(*name, "me", DeliveryState.DELIVERED, NOW, outputs=["s3://out/a.json"])


def submit(ledger: SqlLedger, number: int) -> None:
    """What one job asks of it, from planned to succeeded."""
    key = add(ledger, planned(video(10 * MANY + number)))
    if drive(ledger, key, JobState.SUCCEEDED).lease_owner:
        ledger.release(key, "me")


@pytest.mark.parametrize("work", [deliver, submit])
def test_a_video_costs_what_it_costs_in_a_small_ledger(
    ledgers: dict[int, SqlLedger], work: Callable[[SqlLedger, int], None]
) -> None:
    """Within a fifth."""
    spent: dict[int, list[float]] = {FEW: [], MANY: []}
    for turn in range(ROUNDS):
        for size, ledger in ledgers.items():
            before = process_time()
            for number in range(AT_ONCE):
                work(ledger, turn * AT_ONCE + number if work is submit else (number * size) // AT_ONCE)
            spent[size].append((process_time() - before) / AT_ONCE)
    few, most = (median(spent[size]) for size in (FEW, MANY))
    print(
        f"\n{work.__name__}: {1000 * few:.2f} ms CPU of {FEW} videos, {1000 * most:.2f} ms of {MANY}: {most / few:.2f}"
    )
    assert 0.8 < most / few < 1.2
