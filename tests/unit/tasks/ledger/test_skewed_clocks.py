"""Machines whose clocks differ share a ledger in PostgreSQL: leases go by the database's clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from tasks.domain.errors import SlotsFull
from tasks.domain.job import JobState
from tasks.domain.upload import UploadEvent
from tasks.ledger import clock
from tasks.ledger.base import Ledger, Slots
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_samples import LEASE, PIPELINE, found, many, planned, video
from tests.postgres import PostgresServer

MINUTES = timedelta(minutes=1)
THREE = 3 * MINUTES


@pytest.fixture
def ledger(postgres: PostgresServer) -> Iterator[Ledger]:
    """An empty ledger in PostgreSQL, with two jobs."""
    with postgres.database() as name, closing(open_ledger(postgres.url(name))) as opened:
        opened.plan(PIPELINE, many(2), datetime.now(UTC))
        yield opened


@dataclass
class Machine:
    """A machine whose clock is off.

    Attributes:
        off: How far its clock is ahead.
        passed: Time that has passed for the test, though not for the database.
    """

    monkeypatch: pytest.MonkeyPatch
    name: str
    off: timedelta

    def now(self, passed: timedelta = timedelta(0)) -> datetime:
        """What it takes for the time; what it asks the ledger next is asked by that clock."""
        self.monkeypatch.setattr(clock, "wall_clock", lambda: datetime.now(UTC) + self.off)
        return clock.wall_clock() + passed


@pytest.fixture(params=[-THREE, THREE], ids=["behind", "ahead"])
def machines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Machine]:
    """One whose clock is right, and one that is three minutes off."""
    return Machine(monkeypatch, "right", timedelta(0)), Machine(monkeypatch, "wrong", request.param)


def test_a_living_lease_is_not_taken_over(ledger: Ledger, machines: tuple[Machine, Machine]) -> None:
    """Whoever holds the job, and however the clocks differ; after the lease it is there for both."""
    key = planned(video(0))[0]
    for holder, other in (machines, machines[::-1]):
        assert ledger.claim(key, holder.name, LEASE, holder.now()) is not None
        assert ledger.claim(key, other.name, LEASE, other.now(LEASE - MINUTES)) is None
        assert 1 == ledger.renew(holder.name, LEASE, holder.now(LEASE - MINUTES))
        assert ledger.claim(key, other.name, LEASE, other.now(LEASE)) is None
        assert ledger.claim(key, other.name, LEASE, other.now(2 * LEASE)) is not None
        ledger.release(key, other.name)


def test_a_living_delivery_is_not_taken_over(ledger: Ledger, machines: tuple[Machine, Machine]) -> None:
    """Nor planned anew because its route has changed."""
    holder, other = machines
    key = planned(video(0))[0]
    ledger.plan_deliveries(PIPELINE, key, {"results": "a"}, holder.now())
    assert ledger.claim_delivery(PIPELINE, key, "results", holder.name, LEASE, holder.now()) is not None
    assert ledger.claim_delivery(PIPELINE, key, "results", other.name, LEASE, other.now()) is None
    (under_way,) = ledger.plan_deliveries(PIPELINE, key, {"results": "b"}, other.now())

    assert ("a", holder.name) == (under_way.fingerprint, under_way.lease_owner)
    assert ledger.claim_delivery(PIPELINE, key, "results", other.name, LEASE, other.now(LEASE)) is not None


def test_a_living_shard_is_not_taken_over(ledger: Ledger, machines: tuple[Machine, Machine]) -> None:
    """It is worked through once."""
    holder, other = machines
    ledger.add_shards(PIPELINE, "batch", [[planned(video(0))[0]]], {}, holder.now())
    assert ledger.claim_shard("batch", holder.name, LEASE, holder.now()) is not None

    assert ledger.claim_shard("batch", other.name, LEASE, other.now()) is None
    assert ledger.claim_shard("batch", other.name, LEASE, other.now(LEASE)) is not None


def test_a_living_batch_is_not_taken_over(ledger: Ledger, machines: tuple[Machine, Machine]) -> None:
    """Neither while its run is started nor while that works; ``late`` is told by the same clock."""
    holder, other = machines
    event = UploadEvent(scheme="s3", container="bucket", key="a.mp4", version="1", size=1)
    ledger.put_uploads([(PIPELINE, event)], datetime.now(UTC) - 2 * THREE)
    batch = ledger.form_batch(PIPELINE, holder.name, LEASE, holder.now(), most=1)
    assert batch is not None
    assert not ledger.hold_batch(batch.id, other.name, LEASE, other.now())
    assert ledger.lease_time(other.now()) < batch.lease_until <= ledger.lease_time(other.now(LEASE))
    assert ledger.claim_batch(batch.id, holder.name, LEASE, holder.now()) is not None

    assert ledger.claim_batch(batch.id, other.name, LEASE, other.now()) is None
    assert ledger.claim_batch(batch.id, other.name, LEASE, other.now(LEASE)) is not None


def test_a_submission_under_way_keeps_its_slot(ledger: Ledger, machines: tuple[Machine, Machine]) -> None:
    """``max_in_flight`` holds over machines, whatever they take for the time."""
    holder, other = machines
    for machine, number in ((holder, 0), (other, 1)):
        assert ledger.claim(planned(video(number))[0], machine.name, LEASE, machine.now()) is not None

    def submit(machine: Machine, number: int, passed: timedelta = timedelta(0)) -> None:
        key, slots = planned(video(number))[0], Slots(1, timedelta(hours=6))
        moment = machine.now(passed)
        asked = JobState.PLANNED, JobState.SUBMITTING, machine.name, moment
        ledger.move(key, *asked, service="https://x", slots=slots)

    submit(holder, 0)
    with pytest.raises(SlotsFull):
        submit(other, 1)
    submit(other, 1, LEASE)


def test_what_is_recorded_is_what_the_machine_said(ledger: Ledger, machines: tuple[Machine, Machine]) -> None:
    """Only leases are put right: a story tells the times of those who moved the job."""
    wrong = machines[1]
    key, moment = planned(video(0))[0], wrong.now()
    claimed = ledger.claim(key, wrong.name, LEASE, moment)
    ledger.move(key, JobState.PLANNED, JobState.FAILED, wrong.name, moment)

    assert claimed is not None
    assert claimed.lease_until is not None
    assert abs(claimed.lease_until - datetime.now(UTC) - LEASE) < MINUTES
    assert moment == found(ledger, key).updated_at


@pytest.mark.parametrize("off", [0.0, 1.0, -2.5])
def test_clocks_that_agree_are_taken_at_their_word(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    """The second or two by which machines differ, or an answer is late, changes nothing."""
    moment = Machine(monkeypatch, "near", timedelta(seconds=off)).now()

    assert moment == ledger.lease_time(moment)
