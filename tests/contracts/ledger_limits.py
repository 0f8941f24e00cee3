"""What every ledger promises about slots at a service, and about what the dead leave behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Barrier

import pytest

from tasks.domain.errors import LedgerConflict, SlotsFull
from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.base import JobRecord, Ledger, Slots
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, add, found, many, planned, video

HERE = "https://api.example"
HOUR = timedelta(hours=1)
TWO = Slots(2, HOUR)
THREADS = 8


def begin(
    ledger: Ledger, number: int, slots: Slots | None = TWO, *, service: str = HERE, now: datetime = NOW, owner: str = ""
) -> JobRecord:
    """Plan, claim and begin to submit a job of its own."""
    key = add(ledger, planned(video(number)))
    owner = owner or f"owner-{number}"
    ledger.claim(key, owner, LEASE, now)
    return ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, owner, now, service=service, slots=slots)


def to(ledger: Ledger, job: JobRecord, *states: JobState, now: datetime = NOW) -> JobRecord:
    """Move a job on, as its owner."""
    for state in states:
        job = ledger.move(job.key, job.state, state, job.lease_owner, now, job_id="j")
    return job


class SlotContract:
    """Never more jobs open at a service than were allowed."""

    def test_there_are_as_many_slots_as_allowed(self, ledger: Ledger) -> None:
        """Whoever comes too late is told how many there are, and changes nothing."""
        begin(ledger, 1)
        to(ledger, begin(ledger, 2), JobState.SUBMITTED)
        key = add(ledger, planned(video(3)))
        before = ledger.claim(key, "owner-3", LEASE, NOW)
        with pytest.raises(SlotsFull, match=r"2 jobs are open at https://api\.example, and max_in_flight is 2"):
            begin(ledger, 3)
        assert before == ledger.job(key)
        assert ["planned"] == [move.state for move in ledger.story(key)]

    @pytest.mark.parametrize(
        "way",
        [
            [JobState.PLANNED],
            [JobState.FAILED],
            [JobState.UNKNOWN],
            [JobState.SUBMITTED, JobState.SUCCEEDED],
            [JobState.SUBMITTED, JobState.FAILED],
            [JobState.SUBMITTED, JobState.EXPIRED],
        ],
        ids="-".join,
    )
    def test_a_job_that_ends_frees_its_slot(self, ledger: Ledger, way: list[JobState]) -> None:
        """However it ends."""
        begin(ledger, 1)
        to(ledger, begin(ledger, 2), *way)
        begin(ledger, 3)
        with pytest.raises(SlotsFull):
            begin(ledger, 4)

    def test_a_dead_submission_frees_its_slot_when_its_lease_ends(self, ledger: Ledger) -> None:
        """Not a microsecond earlier; or at once when its owner is known to be gone."""
        begin(ledger, 1)
        begin(ledger, 2)
        with pytest.raises(SlotsFull):
            begin(ledger, 3, now=NOW + LEASE - timedelta(microseconds=1))
        begin(ledger, 3, now=NOW + LEASE)
        begin(ledger, 4, now=NOW + LEASE)
        with pytest.raises(SlotsFull):
            begin(ledger, 5, now=NOW + LEASE)
        ledger.abandon("owner-4", NOW + LEASE)
        begin(ledger, 5, now=NOW + LEASE)

    def test_a_job_that_nobody_collects_frees_its_slot_at_its_deadline(self, ledger: Ledger) -> None:
        """Otherwise a machine that is gone could block the others for ever."""
        for number in (1, 2):
            job = to(ledger, begin(ledger, number), JobState.SUBMITTED)
            ledger.release(job.key, job.lease_owner)
        with pytest.raises(SlotsFull):
            begin(ledger, 3, now=NOW + HOUR - timedelta(microseconds=1))
        begin(ledger, 3, now=NOW + HOUR)

    def test_each_service_has_its_own_slots(self, ledger: Ledger) -> None:
        """Whatever key or query its URL was given with."""
        begin(ledger, 1)
        begin(ledger, 2, service="https://key@api.example?api_key=5ec7e7")
        begin(ledger, 3, service="https://api.elsewhere")
        with pytest.raises(SlotsFull) as caught:
            begin(ledger, 4, service="https://api.example?api_key=5ec7e7")
        assert "5ec7e7" not in caught.value.message

    def test_whoever_sets_no_limit_has_none(self, ledger: Ledger) -> None:
        """But takes slots all the same."""
        for number in range(3):
            begin(ledger, number, None)
        with pytest.raises(SlotsFull):
            begin(ledger, 3)

    def test_a_conflict_comes_before_full_slots(self, ledger: Ledger) -> None:
        """Whoever does not hold the job need not wait for a slot to learn it."""
        jobs = [begin(ledger, number) for number in (1, 2)]
        with pytest.raises(LedgerConflict):
            ledger.move(jobs[0].key, JobState.PLANNED, JobState.SUBMITTING, "owner-1", NOW, service=HERE, slots=TWO)

    def test_threads_that_come_at_once_get_the_slots_there_are(self, ledger: Ledger) -> None:
        """Counting and taking are one step."""
        keys = [add(ledger, planned(video(number))) for number in range(4 * THREADS)]
        for key in keys:
            ledger.claim(key, "me", LEASE, NOW)
        start = Barrier(THREADS)

        def take(number: int) -> int:
            start.wait()
            taken = 0
            for key in keys[number::THREADS]:
                with suppress(SlotsFull):
                    ledger.move(
                        key, JobState.PLANNED, JobState.SUBMITTING, "me", NOW, service=HERE, slots=Slots(5, HOUR)
                    )
                    taken += 1
            return taken

        with ThreadPoolExecutor(THREADS) as pool:
            assert 5 == sum(pool.map(take, range(THREADS)))
        assert 5 == ledger.counts()[0][JobState.SUBMITTING]


class AbandonContract:
    """What is left of an owner who is gone."""

    def deliver(self, ledger: Ledger, key: str, owner: str, route: str = "results") -> None:
        """Begin a delivery."""
        ledger.plan_deliveries(PIPELINE, key, {"results": "a", "video": "v"}, NOW)
        assert ledger.claim_delivery(PIPELINE, key, route, owner, LEASE, NOW) is not None

    def test_owners_are_those_who_hold_something(self, ledger: Ledger) -> None:
        """A job or a delivery, each named once; whoever gave it back is not among them."""
        assert set() == ledger.owners()
        keys = [key for key, _, _ in many(4)]
        ledger.plan(PIPELINE, many(4), NOW)
        for key, owner in zip(keys, ("one", "one", "two", "gone\udcff\0"), strict=True):
            ledger.claim(key, owner, LEASE, NOW)
        self.deliver(ledger, keys[0], "three")
        self.deliver(ledger, keys[1], "two")
        ledger.release(keys[0], "one")
        assert {"one", "two", "three", "gone\udcff\0"} == ledger.owners()
        ledger.finish_delivery(PIPELINE, keys[0], "results", "three", DeliveryState.DELIVERED, NOW)
        ledger.release(keys[1], "one")
        assert {"two", "gone\udcff\0"} == ledger.owners()

    def test_the_jobs_of_the_dead_are_free_at_once(self, ledger: Ledger) -> None:
        """And stand where they stood; those of the living stay theirs."""
        dead = [begin(ledger, 1, owner="dead"), to(ledger, begin(ledger, 2, owner="dead"), JobState.SUBMITTED)]
        living = begin(ledger, 3, None, owner="living")
        assert 2 == ledger.abandon("dead", NOW)
        for job in dead:
            now = found(ledger, job.key)
            assert (job.state, job.updated_at, job.attempts) == (now.state, now.updated_at, now.attempts)
            assert ("", None) == (now.lease_owner, now.lease_until)
            assert ledger.claim(job.key, "next", LEASE, NOW) is not None
        assert ledger.claim(living.key, "next", LEASE, NOW) is None
        assert {"next", "living"} == ledger.owners()

    def test_the_dead_cannot_go_on(self, ledger: Ledger) -> None:
        """Should one turn out to live, it can no longer move what it lost."""
        job = begin(ledger, 1, owner="dead")
        ledger.abandon("dead", NOW)
        with pytest.raises(LedgerConflict, match="held by nobody"):
            to(ledger, job, JobState.SUBMITTED)

    def test_a_half_made_delivery_is_pending_again(self, ledger: Ledger) -> None:
        """Its story says why, its attempt stays counted, and others' deliveries go on."""
        key = add(ledger)
        self.deliver(ledger, key, "dead")
        self.deliver(ledger, key, "living", "video")
        later = NOW + timedelta(seconds=1)
        assert 1 == ledger.abandon("dead", later)
        states = {delivery.route: (delivery.state, delivery.lease_owner) for delivery in ledger.deliveries()}
        assert {"results": (DeliveryState.PENDING, ""), "video": (DeliveryState.DELIVERING, "living")} == states
        last = ledger.story(key)[-1]
        assert (later, "results", "delivering", "pending", "dead is gone") == (
            last.at,
            last.subject,
            last.before,
            last.state,
            last.detail,
        )
        claimed = ledger.claim_delivery(PIPELINE, key, "results", "next", LEASE, NOW)
        assert claimed is not None
        assert 2 == claimed.attempts

    def test_abandoning_nothing_is_nothing(self, ledger: Ledger) -> None:
        """An owner nobody knows, twice the same, and none at all."""
        begin(ledger, 1, owner="dead")
        assert [0, 1, 0] == [ledger.abandon(owner, NOW) for owner in ("other", "dead", "dead")]
        with pytest.raises(ValueError, match="owner"):
            ledger.abandon("", NOW)

    def test_runs_that_start_at_once_give_each_lease_back_once(self, ledger: Ledger) -> None:
        """None waits for another in a circle."""
        for number in range(30):
            job = begin(ledger, number, None, owner="dead")
            self.deliver(ledger, job.key, "dead")
        start = Barrier(THREADS)

        def clear(_: int) -> int:
            start.wait()
            return ledger.abandon("dead", NOW)

        with ThreadPoolExecutor(THREADS) as pool:
            assert 60 == sum(pool.map(clear, range(THREADS)))
        assert set() == ledger.owners()
