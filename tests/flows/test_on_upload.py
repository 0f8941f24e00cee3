"""The flow that sees to a batch of uploads, in processes as the event service starts them."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from config.event_settings import EventSettings
from deployments.services.events.drain import Drain
from deployments.services.events.meters import Meters
from tasks.domain.upload import UploadEvent
from tasks.ledger.base import Ledger
from tasks.ledger.database import sqlite_url
from tasks.ledger.open import open_ledger
from tests.flows.conftest import Yard
from tests.services.events.conftest import NotingStarter
from tests.services.events.event_process import wait_for

# Generous: each starts several processes, which a busy machine takes its time for.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

LEASE = timedelta(minutes=2)


@pytest.fixture
def ledger(yard: Yard) -> Iterator[Ledger]:
    """The ledger of the yard's commands."""
    made = open_ledger(sqlite_url(yard.folder / "home" / "ledger.db"))
    yield made
    made.close()


def batch_of(yard: Yard, ledger: Ledger, *names: str) -> str:
    """Report uploads and take all of them into a batch; its id."""
    now = datetime.now(UTC)
    events = [
        UploadEvent(scheme="file", container="", key=f"{yard.videos}/{name}".lstrip("/"), version="v") for name in names
    ]
    ledger.put_uploads([("yard", event) for event in events], now)
    batch = ledger.form_batch("yard", "drain", LEASE, now, most=100)
    assert batch is not None
    return batch.id


def start(yard: Yard, batch: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deployments.services.events.run_batch", yard.pipeline(), batch]
    return subprocess.Popen(
        command, cwd=yard.folder, env=yard.env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run(yard: Yard, batch: str) -> tuple[int, str]:
    process = start(yard, batch)
    out, _ = process.communicate(timeout=250)
    return process.returncode, out


def outcomes(yard: Yard) -> dict[str, str]:
    """Name -> what became of its upload; "" for those that are not done."""
    connection = sqlite3.connect(yard.folder / "home" / "ledger.db")
    rows = connection.execute("SELECT uri, outcome FROM uploads").fetchall()
    connection.close()
    return {uri.removeprefix(f"file://{yard.videos}/"): outcome for uri, outcome in rows}


def test_a_batch_is_seen_to(yard: Yard, ledger: Ledger) -> None:
    """What was reported and is there is delivered, and nothing else; a repetition has nothing to do."""
    yard.clip("good.mp4")
    yard.clip("not told of.mp4")
    (yard.videos / "broken.mp4").write_bytes(b"no video")
    batch = batch_of(yard, ledger, "good.mp4", "broken.mp4", "gone.mp4")
    code, out = run(yard, batch)
    assert (1, True) == (code, "1 of 2 videos failed" in out), out
    seen = {"good.mp4": "succeeded", "broken.mp4": "failed: video_unreadable", "gone.mp4": "gone"}
    assert seen == outcomes(yard)
    assert ["good.mp4.json.gz", "good.mp4.parquet"] == sorted(
        path.name for path in (yard.out / "results").rglob("*.mp4.*")
    )
    again, out = run(yard, batch)
    assert 0 == again, out
    assert 2 == sum(ledger.counts()[0].values())
    assert {} == ledger.inbox_counts()


def test_a_killed_runs_uploads_are_seen_to_by_the_next(yard: Yard, ledger: Ledger) -> None:
    """SIGKILL while its jobs are at the service: they are found there, not paid again, and delivered once."""
    for number in range(3):
        yard.clip(f"{number}.mp4")
    batch = batch_of(yard, ledger, *(f"{n}.mp4" for n in range(3)))
    victim = start(yard, batch)
    wait_for(lambda: sum(job.submitted_at is not None for job in ledger.jobs()) == 3)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    paid = {job.job_id for job in ledger.jobs() if job.job_id}

    now = datetime.now(UTC)
    drain = Drain(ledger, EventSettings(), {"yard": "yard"}, NotingStarter(), Meters(CollectorRegistry()), lambda: now)
    asyncio.run(drain.step())
    assert {("yard", "waiting"): 3} == ledger.inbox_counts()
    later = now + timedelta(minutes=2)
    second = ledger.form_batch("yard", "drain", LEASE, later, most=100)
    assert second is not None
    code, out = run(yard, second.id)
    assert 0 == code, out
    assert dict.fromkeys(("0.mp4", "1.mp4", "2.mp4"), "succeeded") == outcomes(yard)
    assert paid <= {job.job_id for job in ledger.jobs()}
    assert [1, 1, 1] == [job.attempts for job in ledger.jobs()]
