"""What every ledger promises about deliveries: one per route, one at a time, made again when the route changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tasks.domain.errors import LedgerConflict
from tasks.domain.job import DeliveryState, Failure, JobState
from tasks.ledger.base import DeliveryRecord, Ledger, Move
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, add, drive, planned, video

LOST = Failure("route", "delivery_failed", "the folder is full", "make room")
LATER = NOW + timedelta(minutes=1)
AFTERWARDS = NOW + LEASE


def plan(ledger: Ledger, key: str, **routes: str) -> list[str]:
    """Plan deliveries and return the routes still to be served."""
    return [delivery.route for delivery in ledger.plan_deliveries(PIPELINE, key, routes, NOW)]


def claim(ledger: Ledger, key: str, route: str = "results", owner: str = "me") -> DeliveryRecord | None:
    """Claim now."""
    return ledger.claim_delivery(PIPELINE, key, route, owner, LEASE, NOW)


def finish(
    ledger: Ledger,
    key: str,
    to: DeliveryState = DeliveryState.DELIVERED,
    *,
    owner: str = "me",
    outputs: tuple[str, ...] = (),
    failure: Failure | None = None,
) -> None:
    """End the delivery to ``results``."""
    ledger.finish_delivery(PIPELINE, key, "results", owner, to, LATER, outputs=outputs, failure=failure)


def only(ledger: Ledger, key: str) -> DeliveryRecord:
    """The one delivery there is."""
    (delivery,) = ledger.deliveries(job_key=key)
    return delivery


class DeliveryContract:
    """From pending to delivered, and back."""

    def test_a_route_is_planned_once(self, ledger: Ledger) -> None:
        """Asking again gives the same deliveries, in the order of the routes."""
        key = add(ledger)
        expected = DeliveryRecord(
            pipeline=PIPELINE,
            job_key=key,
            route="results",
            fingerprint="a",
            state=DeliveryState.PENDING,
            attempts=0,
            outputs=(),
            failure=None,
            lease_owner="",
            lease_until=None,
            updated_at=NOW,
        )
        assert [expected] == ledger.plan_deliveries(PIPELINE, key, {"results": "a"}, NOW)
        assert [expected] == ledger.plan_deliveries(PIPELINE, key, {"results": "a"}, LATER)
        assert ["video", "results", "lightly"] == plan(ledger, key, video="v", results="a", lightly="l")
        assert ["results", "video", "lightly"] == [delivery.route for delivery in ledger.deliveries()]
        assert [] == plan(ledger, key)

    def test_a_delivery_is_claimed_and_delivered(self, ledger: Ledger) -> None:
        """With what it left behind; a delivered one needs nothing more."""
        key = add(ledger)
        plan(ledger, key, results="a")
        claimed = claim(ledger, key)
        assert claimed is not None
        assert claimed == only(ledger, key)
        assert (DeliveryState.DELIVERING, 1, "me", NOW + LEASE) == (
            claimed.state,
            claimed.attempts,
            claimed.lease_owner,
            claimed.lease_until,
        )
        assert ["results"] == plan(ledger, key, results="a")
        finish(ledger, key, outputs=("file:///out/a.json", "file:///out/a.parquet"))
        done = only(ledger, key)
        assert (DeliveryState.DELIVERED, LATER) == (done.state, done.updated_at)
        assert ("file:///out/a.json", "file:///out/a.parquet") == done.outputs
        assert ("", None) == (done.lease_owner, done.lease_until)
        assert [] == plan(ledger, key, results="a")
        assert claim(ledger, key) is None

    def test_a_delivery_is_one_owner_s_at_a_time(self, ledger: Ledger) -> None:
        """Others get nothing while the lease lives; its owner renews it without another attempt."""
        key = add(ledger)
        plan(ledger, key, results="a")
        claim(ledger, key)
        assert claim(ledger, key, owner="other") is None
        renewed = ledger.claim_delivery(PIPELINE, key, "results", "me", LEASE, LATER)
        assert renewed is not None
        assert (1, LATER + LEASE) == (renewed.attempts, renewed.lease_until)

    def test_a_dead_delivery_is_taken_over(self, ledger: Ledger) -> None:
        """Once its lease has passed, and its old owner can no longer end it."""
        key = add(ledger)
        plan(ledger, key, results="a")
        claim(ledger, key, owner="dead")
        taken = ledger.claim_delivery(PIPELINE, key, "results", "me", LEASE, AFTERWARDS)
        assert taken is not None
        assert (2, "me") == (taken.attempts, taken.lease_owner)
        with pytest.raises(LedgerConflict, match="'me'"):
            finish(ledger, key, owner="dead")
        finish(ledger, key)
        assert DeliveryState.DELIVERED == only(ledger, key).state

    def test_a_failed_delivery_waits_for_a_person(self, ledger: Ledger) -> None:
        """It is shown among what is not delivered, cannot be claimed, and starts anew when it is reset."""
        key = add(ledger)
        plan(ledger, key, results="a")
        claim(ledger, key)
        finish(ledger, key, DeliveryState.FAILED, failure=LOST)
        assert LOST == only(ledger, key).failure
        assert ["results"] == plan(ledger, key, results="a")
        assert claim(ledger, key) is None
        assert ledger.reset_delivery(PIPELINE, key, "results", LATER)
        again = only(ledger, key)
        assert (DeliveryState.PENDING, None, 1) == (again.state, again.failure, again.attempts)
        assert claim(ledger, key) is not None

    def test_a_delivery_can_go_back_to_be_tried_again(self, ledger: Ledger) -> None:
        """After a passing fault, with what went wrong, and open to anybody at once."""
        key = add(ledger)
        plan(ledger, key, results="a")
        claim(ledger, key)
        finish(ledger, key, DeliveryState.PENDING, failure=LOST)
        assert (DeliveryState.PENDING, LOST) == (only(ledger, key).state, only(ledger, key).failure)
        again = claim(ledger, key, owner="other")
        assert again is not None
        assert 2 == again.attempts

    def test_only_ended_deliveries_are_reset(self, ledger: Ledger) -> None:
        """A delivered one is; one that waits, is under way or is unknown is not."""
        key = add(ledger)
        reset: Callable[[], bool] = lambda: ledger.reset_delivery(PIPELINE, key, "results", NOW)  # noqa: E731
        assert not reset()
        plan(ledger, key, results="a")
        assert not reset()
        claim(ledger, key)
        assert not reset()
        finish(ledger, key)
        assert reset()
        assert ["results"] == plan(ledger, key, results="a")

    def test_only_what_is_under_way_ends(self, ledger: Ledger) -> None:
        """Unplanned, pending and ended deliveries are conflicts that name where they stand."""
        key = add(ledger)
        with pytest.raises(LedgerConflict, match="has no delivery"):
            finish(ledger, key)
        plan(ledger, key, results="a")
        with pytest.raises(LedgerConflict, match="is pending, not delivering: it cannot become delivered"):
            finish(ledger, key)
        claim(ledger, key)
        with pytest.raises(ValueError, match="from delivering to delivering"):
            finish(ledger, key, DeliveryState.DELIVERING)
        finish(ledger, key)
        with pytest.raises(LedgerConflict, match="is delivered, not delivering: it cannot become failed"):
            finish(ledger, key, DeliveryState.FAILED)

    def test_what_was_not_planned_is_not_claimed(self, ledger: Ledger) -> None:
        """Neither an unknown route nor another pipeline's."""
        key = add(ledger)
        plan(ledger, key, results="a")
        assert claim(ledger, key, "labelbox") is None
        assert ledger.claim_delivery("other", key, "results", "me", LEASE, NOW) is None
        with pytest.raises(ValueError, match="owner"):
            claim(ledger, key, owner="")


class ChangedRouteContract:
    """A route with other settings is another delivery to make."""

    @pytest.mark.parametrize("end", [DeliveryState.DELIVERED, DeliveryState.FAILED])
    def test_an_ended_delivery_is_made_again(self, ledger: Ledger, end: DeliveryState) -> None:
        """Under the new settings, from a clean start."""
        key = add(ledger)
        plan(ledger, key, results="a")
        claim(ledger, key)
        finish(ledger, key, end, outputs=("file:///old",), failure=LOST if end is DeliveryState.FAILED else None)
        (again,) = ledger.plan_deliveries(PIPELINE, key, {"results": "b"}, LATER)
        assert (DeliveryState.PENDING, "b", (), None) == (again.state, again.fingerprint, again.outputs, again.failure)
        assert again == only(ledger, key)

    def test_a_pending_delivery_takes_the_new_settings(self, ledger: Ledger) -> None:
        """Nothing was delivered yet, so nothing needs to be told."""
        key = add(ledger)
        plan(ledger, key, results="a")
        story = ledger.story(key)
        assert ["results"] == plan(ledger, key, results="b")
        assert "b" == only(ledger, key).fingerprint
        assert story == ledger.story(key)

    def test_a_delivery_under_way_ends_under_its_own_settings(self, ledger: Ledger) -> None:
        """And is made again after that: what it delivered was not what is wanted now."""
        key = add(ledger)
        plan(ledger, key, results="a")
        claim(ledger, key)
        assert ["results"] == plan(ledger, key, results="b")
        finish(ledger, key)
        assert "a" == only(ledger, key).fingerprint
        assert ["results"] == plan(ledger, key, results="b")
        assert (DeliveryState.PENDING, "b") == (only(ledger, key).state, only(ledger, key).fingerprint)

    def test_a_dead_delivery_takes_the_new_settings(self, ledger: Ledger) -> None:
        """Whoever takes over delivers what is wanted now, once."""
        key = add(ledger)
        plan(ledger, key, results="a")
        claim(ledger, key, owner="dead")
        ledger.plan_deliveries(PIPELINE, key, {"results": "b"}, AFTERWARDS)
        taken = ledger.claim_delivery(PIPELINE, key, "results", "me", LEASE, AFTERWARDS)
        assert taken is not None
        assert "b" == taken.fingerprint
        finish(ledger, key)
        assert [] == plan(ledger, key, results="b")


class DeliveryListContract:
    """Reading deliveries."""

    def test_deliveries_are_filtered_and_counted(self, ledger: Ledger) -> None:
        """By pipeline, state and job; each pipeline's deliveries are its own."""
        keys = [add(ledger, planned(video(number))) for number in range(3)]
        for key in keys:
            plan(ledger, key, results="a", video="v")
        ledger.plan_deliveries("other", keys[0], {"results": "o"}, NOW)
        claim(ledger, keys[1])
        finish(ledger, keys[1])
        blank = dict.fromkeys(DeliveryState, 0)
        results = {**blank, DeliveryState.PENDING: 2, DeliveryState.DELIVERED: 1}
        videos = {**blank, DeliveryState.PENDING: 3}
        assert {"results": results, "video": videos} == ledger.counts(PIPELINE)[1]
        assert {"results": {**results, DeliveryState.PENDING: 3}, "video": videos} == ledger.counts()[1]
        delivered = [DeliveryState.DELIVERED]
        assert [keys[1]] == [delivery.job_key for delivery in ledger.deliveries(states=delivered)]
        assert [] == list(ledger.deliveries("other", delivered))
        assert ["results", "video"] == [delivery.route for delivery in ledger.deliveries(PIPELINE, job_key=keys[0])]
        assert 3 == len(list(ledger.deliveries(job_key=keys[0])))
        assert 3 == ledger.counts(PIPELINE)[0][JobState.PLANNED]

    def test_what_routes_lack_is_asked_without_writing(self, ledger: Ledger) -> None:
        """Succeeded jobs of the listing without a delivery, with one to be made, or with one of other settings."""
        keys = [add(ledger, planned(video(number))) for number in range(7)]
        fresh, pending, delivered, failed, changed, unfinished, _ = keys
        for key in keys:
            if key != unfinished:
                drive(ledger, key, JobState.SUCCEEDED)
            if key != fresh:
                plan(ledger, key, results="a" if key == changed else "b")
            if key in (delivered, failed, changed):
                claim(ledger, key)
        finish(ledger, delivered)
        finish(ledger, failed, DeliveryState.FAILED, failure=LOST)
        finish(ledger, changed)
        for key in (fresh, pending, delivered, failed, changed, unfinished):
            ledger.plan(PIPELINE, [planned(video(keys.index(key)))], LATER)

        def lacking(**routes: str) -> list[str]:
            return list(ledger.undelivered(PIPELINE, routes, seen_since=LATER))

        stories = [ledger.story(key) for key in keys]
        assert [fresh, pending, changed] == lacking(results="b")
        assert [fresh, pending, delivered, failed, changed] == lacking(results="b", video="v")
        assert [] == list(ledger.undelivered("other", {"results": "b"}, seen_since=LATER))
        assert stories == [ledger.story(key) for key in keys]

    def test_many_deliveries_stream(self, ledger: Ledger) -> None:
        """Each once, though some are delivered meanwhile."""
        key = add(ledger)
        routes = {f"route-{number}": "a" for number in range(1200)}
        ledger.plan_deliveries(PIPELINE, key, routes, NOW)
        stream = ledger.deliveries(PIPELINE)
        first = next(stream)
        claim(ledger, key, first.route)
        assert list(routes) == [first.route, *(delivery.route for delivery in stream)]

    def test_the_story_tells_deliveries_too(self, ledger: Ledger) -> None:
        """Whose they are, who took over from whom, and how they ended."""
        key = add(ledger)
        plan(ledger, key, results="a")
        claim(ledger, key, owner="dead")
        ledger.claim_delivery(PIPELINE, key, "results", "me", LEASE, AFTERWARDS)
        finish(ledger, key, outputs=("file:///out/a.json", "file:///out/b.json"))
        ledger.plan_deliveries(PIPELINE, key, {"results": "b"}, AFTERWARDS)
        claim(ledger, key)
        finish(ledger, key, DeliveryState.FAILED, failure=LOST)
        ledger.reset_delivery(PIPELINE, key, "results", AFTERWARDS)
        assert [
            Move(NOW, "results", "pending", "", "", "", PIPELINE),
            Move(NOW, "results", "delivering", "attempt 1", "pending", "dead", PIPELINE),
            Move(AFTERWARDS, "results", "delivering", "attempt 2, taken over from dead", "delivering", "me", PIPELINE),
            Move(LATER, "results", "delivered", "file:///out/a.json", "delivering", "me", PIPELINE),
            Move(AFTERWARDS, "results", "pending", "the route has changed", "delivered", "", PIPELINE),
            Move(NOW, "results", "delivering", "attempt 3", "pending", "me", PIPELINE),
            Move(LATER, "results", "failed", "route: delivery_failed", "delivering", "me", PIPELINE),
            Move(AFTERWARDS, "results", "pending", "asked for", "failed", "", PIPELINE),
        ] == ledger.story(key)[1:]

    def test_outputs_lose_what_grants_access(self, ledger: Ledger) -> None:
        """A signed link is kept without its signature; a storage key with a question mark is kept whole."""
        key = add(ledger)
        plan(ledger, key, results="a")
        claim(ledger, key)
        finish(ledger, key, outputs=("https://host/a.json?sig=5ec7e7", "s3://out/what?a=b.json"))
        assert ("https://host/a.json?…", "s3://out/what?a=b.json") == only(ledger, key).outputs
