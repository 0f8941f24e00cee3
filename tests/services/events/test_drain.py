"""From the inbox to runs: when a batch is formed, and what becomes of it when something dies."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from config.event_settings import EventSettings
from deployments.services.events.drain import Drain
from deployments.services.events.meters import Meters
from tasks.domain.errors import ServiceUnavailable
from tasks.domain.upload import UploadEvent
from tasks.ledger.base import Ledger
from tasks.ledger.database import sqlite_url
from tasks.ledger.inbox import Batch, BatchState
from tasks.ledger.open import open_ledger
from tasks.owner import new_owner
from tests.services.events.conftest import NotingStarter

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=2)
SECOND = timedelta(seconds=1)
LIVE = (BatchState.FORMED, BatchState.STARTED, BatchState.RUNNING)


@dataclass
class Desk:
    """A drain on a ledger of its own, with the time in the test's hands."""

    ledger: Ledger
    starter: NotingStarter
    now: datetime = NOON
    passed_s: float = 0.0
    told: int = 0

    def drain(self, **settings: object) -> Drain:
        """Another service's, if there is one already."""
        chosen = EventSettings.model_validate({"REELROUTE_EVENTS_BATCH": 10, **settings})
        names = {"yard": "./yard.yaml", "other": "other"}
        meters = Meters(CollectorRegistry())
        return Drain(self.ledger, chosen, names, self.starter, meters, lambda: self.now, lambda: self.passed_s)

    def put(self, count: int = 1, pipeline: str = "yard") -> None:
        events = [
            UploadEvent(scheme="s3", container="yard", key=f"{n}.mp4", version="v")
            for n in range(self.told, self.told + count)
        ]
        self.told += count
        self.ledger.put_uploads([(pipeline, event) for event in events], self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds * SECOND
        self.passed_s += seconds

    @property
    def sizes(self) -> list[int]:
        return [batch.size for _, batch in self.starter.started]

    def live(self) -> list[Batch]:
        return self.ledger.batches(LIVE)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    ledger = open_ledger(sqlite_url(tmp_path / "ledger.db"))
    yield Desk(ledger, NotingStarter())
    ledger.close()


async def test_a_run_starts_when_it_is_quiet(desk: Desk) -> None:
    """Five seconds after the last upload, with all of them."""
    drain = desk.drain()
    for _ in range(3):
        desk.put()
        desk.wait(3)
        await drain.step()
    assert [] == desk.sizes
    desk.wait(2)
    await drain.step()
    assert [3] == desk.sizes
    [(reference, _)] = desk.starter.started
    assert "./yard.yaml" == reference


async def test_nobody_waits_for_quiet_for_ever(desk: Desk) -> None:
    """A trickle that never stops starts a run every minute."""
    drain = desk.drain(REELROUTE_EVENTS_BATCH=1000)
    for _ in range(130):
        desk.put()
        await drain.step()
        desk.wait(1)
    assert [61, 61] == desk.sizes


async def test_a_full_batch_starts_at_once(desk: Desk) -> None:
    """And what is left of a burst waits for its quiet."""
    drain = desk.drain()
    desk.put(34)
    await drain.step()
    assert [10, 10, 10] == desk.sizes
    desk.wait(5)
    await drain.step()
    assert [10, 10, 10, 4] == desk.sizes


async def test_pipelines_have_batches_of_their_own(desk: Desk) -> None:
    """One that is not served here is left to the service that serves it."""
    drain = desk.drain()
    for name in ("yard", "other", "elsewhere"):
        desk.put(2, name)
    desk.wait(5)
    await drain.step()
    assert {("yard", 2), ("other", 2)} == {(batch.pipeline, batch.size) for _, batch in desk.starter.started}
    assert {"elsewhere": 2} == {name: found.count for name, found in desk.ledger.waiting(desk.now).items()}


async def test_while_no_run_can_be_started_uploads_gather(desk: Desk) -> None:
    """Nothing is lost, the service says so, and one run catches up; the first batch keeps its id."""
    drain = desk.drain()
    desk.starter.down = True
    desk.put(3)
    for _ in range(30):
        desk.wait(5)
        desk.put()
        await drain.step()
    with pytest.raises(ServiceUnavailable, match="the server is down"):
        drain.check()
    [formed] = desk.live()
    desk.starter.down = False
    desk.wait(5)
    await drain.step()
    drain.check()
    assert 33 == sum(desk.sizes)
    assert formed.id == desk.starter.started[0][1].id


async def test_a_server_that_goes_away_is_noticed_without_uploads(desk: Desk) -> None:
    """Readiness says so before the first upload waits."""
    drain = desk.drain()
    await drain.step()
    drain.check()
    desk.starter.down = True
    desk.wait(11)
    await drain.step()
    with pytest.raises(ServiceUnavailable):
        drain.check()


async def test_a_clock_that_is_set_back_holds_no_upload_up(desk: Desk) -> None:
    """Neither those that were put here an hour from now, nor a start that failed then."""
    drain = desk.drain()
    desk.starter.down = True
    desk.put(1)
    desk.wait(6)
    await drain.step()
    desk.put(1)
    desk.starter.down = False
    desk.now -= timedelta(hours=1)
    for _ in range(2):
        desk.wait(6)
        await drain.step()

    assert [1, 1] == desk.sizes
    drain.check()


async def test_a_busy_starter_is_not_given_more(desk: Desk) -> None:
    """Where runs are processes of this machine, one goes after the other."""
    drain = desk.drain()
    desk.starter.is_busy = True
    desk.put(25)
    desk.wait(5)
    await drain.step()
    assert ([], []) == (desk.sizes, desk.live())


async def test_a_dead_drains_batch_is_started_by_another(desk: Desk) -> None:
    """Under the same id, so that a run that was started after all is not started twice."""
    first = desk.drain()
    desk.starter.down = True
    desk.put(3)
    desk.wait(5)
    await first.step()
    [formed] = desk.live()
    desk.starter.down = False
    second = desk.drain()
    await second.step()
    assert [] == desk.sizes
    desk.wait(61)
    await second.step()
    assert [formed.id] == [batch.id for _, batch in desk.starter.started]


async def test_a_run_that_waits_for_a_worker_keeps_its_batch(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """However long; when it has ended without beginning, its uploads wait again, and the log says so."""
    drain = desk.drain()
    desk.put(3)
    desk.wait(5)
    await drain.step()
    for _ in range(20):
        desk.wait(61)
        await drain.step()
    [batch] = desk.live()
    assert (BatchState.STARTED, [3]) == (batch.state, desk.sizes)
    desk.starter.over.add(batch.run)
    desk.wait(61)
    await drain.step()
    assert [] == desk.live()
    assert f"the run of 3 uploads died ({batch.run}: it ended before it took its uploads up" in caplog.text
    desk.wait(61)
    await drain.step()
    assert [3, 3] == desk.sizes


async def test_a_dead_runs_uploads_are_run_again(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """When its lease ends, on whatever machine it was."""
    drain = desk.drain()
    desk.put(3)
    desk.wait(5)
    await drain.step()
    [batch] = desk.live()
    assert desk.ledger.claim_batch(batch.id, "another-machine/1:1:aa", LEASE, desk.now)
    desk.wait(100)
    await drain.step()
    assert [batch.id] == [one.id for one in desk.live()]
    desk.wait(21)
    await drain.step()
    assert [] == desk.live()
    assert "it gave no sign of life" in caplog.text
    desk.wait(61)
    await drain.step()
    assert [3, 3] == desk.sizes


async def test_a_killed_process_of_this_machine_is_noticed_at_once(desk: Desk) -> None:
    """Nobody waits for the lease of a process that is certainly gone."""
    drain = desk.drain()
    desk.put(3)
    desk.wait(5)
    await drain.step()
    [batch] = desk.live()
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    machine, _, token = new_owner().split(":")
    assert desk.ledger.claim_batch(batch.id, f"{machine}:{gone.pid}:{token}", LEASE, desk.now)
    await drain.step()
    assert [] == desk.live()


async def test_a_living_run_is_left_alone(desk: Desk) -> None:
    """For as long as it renews its lease."""
    drain = desk.drain()
    desk.put(3)
    desk.wait(5)
    await drain.step()
    [batch] = desk.live()
    for _ in range(10):
        assert desk.ledger.claim_batch(batch.id, "another-machine/1:1:aa", LEASE, desk.now)
        desk.wait(60)
        await drain.step()
    assert [batch.id] == [one.id for one in desk.live()]
    assert [3] == desk.sizes
