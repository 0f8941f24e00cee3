"""What every ledger promises of versions: the one listed last is current, and routes are to show it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.base import Ledger
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, SPEC, planned, video

HOUR = timedelta(hours=1)
A, B = planned(video(version="A")), planned(video(version="B"))
OTHER = planned(video(1))


def listed(ledger: Ledger, at: datetime, *found: tuple[object, ...], pipeline: str = PIPELINE) -> None:
    ledger.plan(pipeline, list(found), at)  # type: ignore[arg-type]


def inferred_and_delivered(
    ledger: Ledger, key: str, at: datetime, end: DeliveryState = DeliveryState.DELIVERED
) -> None:
    """Bring a planned job to its results, and these to one route."""
    ledger.claim(key, "me", LEASE, at)
    ledger.move(key, JobState.PLANNED, JobState.SUCCEEDED, "me", at, result_key="r")
    ledger.release(key, "me")
    ledger.plan_deliveries(PIPELINE, key, {"out": "f"}, at)
    ledger.claim_delivery(PIPELINE, key, "out", "me", LEASE, at)
    ledger.finish_delivery(PIPELINE, key, "out", "me", end, at)


class VersionContract:
    """What every ledger promises of versions."""

    def test_the_version_listed_last_is_current(self, ledger: Ledger) -> None:
        """A, then B, then A again; each pipeline and each inference for itself."""
        uri, other_spec = A[1].uri, replace(SPEC, fps=1.0)
        assert "" == ledger.current_job(PIPELINE, uri, SPEC)
        seen = []
        for hours, found in enumerate((A, B, A)):
            listed(ledger, NOW + hours * HOUR, found, OTHER)
            seen.append(ledger.current_job(PIPELINE, uri, SPEC))
        assert [A[0], B[0], A[0]] == seen
        listed(ledger, NOW + 3 * HOUR, B, pipeline="another")
        listed(ledger, NOW + 4 * HOUR, planned(B[1], other_spec))
        assert A[0] == ledger.current_job(PIPELINE, uri, SPEC)
        assert planned(B[1], other_spec)[0] == ledger.current_job(PIPELINE, uri, other_spec)

    def test_what_another_version_wrote_over_is_found_when_it_is_back(self, ledger: Ledger) -> None:
        """Only what is listed now, once, and also where the other was brought in part only."""
        listed(ledger, NOW, A, OTHER)
        inferred_and_delivered(ledger, A[0], NOW)
        inferred_and_delivered(ledger, OTHER[0], NOW)
        listed(ledger, NOW + HOUR, B, OTHER)
        inferred_and_delivered(ledger, B[0], NOW + HOUR, DeliveryState.FAILED)
        assert [] == ledger.overtaken(PIPELINE, SPEC, seen_since=NOW + HOUR)

        back = NOW + 2 * HOUR
        listed(ledger, back, A, OTHER)
        assert [(A[0], "out")] == ledger.overtaken(PIPELINE, SPEC, seen_since=back)
        assert [] == ledger.overtaken("another", SPEC, seen_since=back)
        assert [] == ledger.overtaken(PIPELINE, replace(SPEC, fps=1.0), seen_since=back)

        ledger.reset_delivery(PIPELINE, A[0], "out", back)
        ledger.claim_delivery(PIPELINE, A[0], "out", "me", LEASE, back)
        ledger.finish_delivery(PIPELINE, A[0], "out", "me", DeliveryState.DELIVERED, back)
        assert [] == ledger.overtaken(PIPELINE, SPEC, seen_since=back)

    def test_jobs_that_are_current_nowhere_are_counted(self, ledger: Ledger) -> None:
        """With their deliveries; what another pipeline still shows is not among them, nor what is at a service."""
        assert frozenset() == ledger.replaced().keys
        listed(ledger, NOW, A, OTHER)
        listed(ledger, NOW, A, pipeline="another")
        inferred_and_delivered(ledger, A[0], NOW)
        listed(ledger, NOW + HOUR, B, OTHER)

        found = ledger.replaced(PIPELINE)
        assert (frozenset({A[0]}), {JobState.SUCCEEDED: 1}) == (found.keys, dict(found.jobs))
        assert {"out": {DeliveryState.DELIVERED: 1}} == found.deliveries
        assert frozenset() == ledger.replaced().keys

        listed(ledger, NOW + 2 * HOUR, A)
        assert {B[0]} == ledger.replaced(PIPELINE).keys
        ledger.claim(B[0], "me", LEASE, NOW)
        ledger.move(B[0], JobState.PLANNED, JobState.SUBMITTING, "me", NOW, token="t", service="http://s")
        assert frozenset() == ledger.replaced(PIPELINE).keys
