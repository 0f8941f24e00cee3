"""A connection that breaks around COMMIT: every change is made exactly once all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tasks.domain.errors import LedgerConflict, SlotsFull
from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.base import DeliveryRecord, JobRecord, Ledger, Move, Slots
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_samples import FAILURE, INFO, LEASE, NOW, PIPELINE, add, found, planned, video
from tests.lossy_proxy import LossyProxy
from tests.postgres import PostgresServer

KEY = planned()[0]
OUT = ("file:///out/a.json",)
URL = "https://api.example"


@dataclass(frozen=True)
class Case:
    """A change to make.

    Attributes:
        before: Brings an empty ledger to where the change can be made.
        change: Makes it.
    """

    before: Callable[[Ledger], object]
    change: Callable[[Ledger], object]


def claimed(ledger: Ledger) -> None:
    add(ledger)
    ledger.claim(KEY, "me", LEASE, NOW)


def begun(ledger: Ledger) -> None:
    claimed(ledger)
    begin(ledger)


def due(ledger: Ledger) -> None:
    add(ledger)
    ledger.plan_deliveries(PIPELINE, KEY, {"results": "a"}, NOW)


def delivering(ledger: Ledger) -> None:
    due(ledger)
    ledger.claim_delivery(PIPELINE, KEY, "results", "me", LEASE, NOW)


def delivered(ledger: Ledger) -> None:
    delivering(ledger)
    ledger.finish_delivery(PIPELINE, KEY, "results", "me", DeliveryState.DELIVERED, NOW)


def plan_uncounted(ledger: Ledger) -> None:
    """How many were new is not known again once the answer is lost."""
    ledger.plan(PIPELINE, [planned()], NOW)


def abandon_uncounted(ledger: Ledger) -> None:
    """Nor how many leases were given back."""
    ledger.abandon("me", NOW)


def begin(ledger: Ledger) -> JobRecord:
    return ledger.move(
        KEY, JobState.PLANNED, JobState.SUBMITTING, "me", NOW, token="t", service=URL, slots=Slots(1, LEASE)
    )


def finish(ledger: Ledger, to: DeliveryState = DeliveryState.DELIVERED) -> None:
    failed = to is DeliveryState.FAILED
    ledger.finish_delivery(
        PIPELINE, KEY, "results", "me", to, NOW, outputs=() if failed else OUT, failure=FAILURE if failed else None
    )


CASES = {
    "plan": Case(lambda _: None, plan_uncounted),
    "claim": Case(add, lambda ledger: ledger.claim(KEY, "me", LEASE, NOW)),
    "release": Case(claimed, lambda ledger: ledger.release(KEY, "me")),
    "begin": Case(claimed, begin),
    "submitted": Case(
        begun,
        lambda ledger: ledger.move(KEY, JobState.SUBMITTING, JobState.SUBMITTED, "me", NOW, job_id="job-7"),
    ),
    "back": Case(
        begun,
        lambda ledger: ledger.move(KEY, JobState.SUBMITTING, JobState.PLANNED, "me", NOW),
    ),
    "failed": Case(
        claimed, lambda ledger: ledger.move(KEY, JobState.PLANNED, JobState.FAILED, "me", NOW, failure=FAILURE)
    ),
    "info": Case(add, lambda ledger: ledger.set_info(KEY, INFO)),
    "due": Case(add, lambda ledger: ledger.plan_deliveries(PIPELINE, KEY, {"results": "a"}, NOW)),
    "changed": Case(delivered, lambda ledger: ledger.plan_deliveries(PIPELINE, KEY, {"results": "b"}, NOW)),
    "delivering": Case(due, lambda ledger: ledger.claim_delivery(PIPELINE, KEY, "results", "me", LEASE, NOW)),
    "delivered": Case(delivering, finish),
    "not delivered": Case(delivering, lambda ledger: finish(ledger, DeliveryState.FAILED)),
    "reset": Case(delivered, lambda ledger: ledger.reset_delivery(PIPELINE, KEY, "results", NOW)),
    "abandon": Case(delivering, abandon_uncounted),
}

Contents = tuple[list[JobRecord], list[DeliveryRecord], list[Move]]


def contents(ledger: Ledger) -> Contents:
    """All there is."""
    return list(ledger.jobs()), list(ledger.deliveries()), ledger.story(KEY)


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[LossyProxy]:
    """A relay to the server."""
    with LossyProxy(postgres.port) as relay:
        yield relay


@pytest.fixture
def shaky(postgres: PostgresServer, proxy: LossyProxy) -> Iterator[Ledger]:
    """An empty ledger behind the relay."""
    with postgres.database() as name:
        ledger = open_ledger(postgres.url(name, port=proxy.port))
        yield ledger
        ledger.close()


@pytest.fixture
def steady(postgres: PostgresServer) -> Iterator[Ledger]:
    """Another empty ledger, with nothing in between."""
    with postgres.database() as name:
        ledger = open_ledger(postgres.url(name))
        yield ledger
        ledger.close()


@pytest.mark.parametrize("losing", ["request", "answer"])
@pytest.mark.parametrize("name", CASES)
def test_a_change_around_a_lost_commit_is_made_once(
    name: str, losing: str, shaky: Ledger, steady: Ledger, proxy: LossyProxy
) -> None:
    """Whether the server made it or never heard of it: same answer, same rows, same story as with no loss."""
    case = CASES[name]
    case.before(shaky)
    case.before(steady)
    proxy.losing = losing
    answer = case.change(shaky)

    assert 1 == proxy.lost
    assert case.change(steady) == answer
    assert contents(steady) == contents(shaky)


def test_the_same_move_by_another_is_not_taken_for_ours(shaky: Ledger, proxy: LossyProxy) -> None:
    """Another thread of our name submits between our lost COMMIT and our next try: we learn that we lost."""
    claimed(shaky)
    proxy.losing = "request"
    database = shaky._database  # type: ignore[attr-defined]
    write, tries = database.write, []

    def write_with_a_rival() -> object:
        tries.append(1)
        if len(tries) == 2:
            database.write = write
            shaky.move(KEY, JobState.PLANNED, JobState.SUBMITTING, "me", NOW, token="rival's", service=URL)
        return write()

    database.write = write_with_a_rival
    with pytest.raises(LedgerConflict):
        begin(shaky)

    assert (1, "rival's", 2) == (proxy.lost, found(shaky, KEY).token, len(tries))


def test_a_slot_that_was_taken_by_a_lost_commit_is_ours(shaky: Ledger, proxy: LossyProxy) -> None:
    """Our own job does not stand in its own way; the next one finds the slot taken."""
    claimed(shaky)
    proxy.losing = "answer"
    begin(shaky)
    other = add(shaky, planned(video(2)))
    shaky.claim(other, "me", LEASE, NOW)
    with pytest.raises(SlotsFull):
        shaky.move(other, JobState.PLANNED, JobState.SUBMITTING, "me", NOW, service=URL, slots=Slots(1, LEASE))
