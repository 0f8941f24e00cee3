"""What every ledger promises of forgetting: what is over for long, and nothing that anybody may still ask for."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.base import Ledger
from tasks.ledger.shard_base import ShardNotes
from tasks.ledger.upkeep import StoredResult
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, Planned, add, drive, found, planned, video

DAY = timedelta(days=1)
LATER = NOW + 100 * DAY
A, B, C = (planned(video(version=version)) for version in "ABC")


def listed(ledger: Ledger, at: datetime, *jobs: Planned, pipeline: str = PIPELINE) -> None:
    """What a listing of the sources records."""
    ledger.plan(pipeline, jobs, at)


def stored(ledger: Ledger, job: Planned, at: datetime, result_key: str = "") -> StoredResult:
    """Bring a planned job to results under its own key, or another's."""
    result = StoredResult(job[0], result_key or job[0])
    assert ledger.claim(job[0], "me", LEASE, at)
    ledger.move(job[0], JobState.PLANNED, JobState.SUCCEEDED, "me", at, result_key=result.result_key)
    ledger.release(job[0], "me")
    return result


def delivered(
    ledger: Ledger,
    job: Planned,
    at: datetime,
    end: DeliveryState = DeliveryState.DELIVERED,
    pipeline: str = PIPELINE,
) -> None:
    """Bring results to the one route of a pipeline."""
    ledger.plan_deliveries(pipeline, job[0], {"out": "f"}, at)
    assert ledger.claim_delivery(pipeline, job[0], "out", "me", LEASE, at)
    ledger.finish_delivery(pipeline, job[0], "out", "me", end, at)


def whole(ledger: Ledger, job: Planned, at: datetime = NOW) -> StoredResult:
    """List a job, and bring it the whole way."""
    listed(ledger, at, job)
    result = stored(ledger, job, at)
    delivered(ledger, job, at)
    return result


class HistoryPruneContract:
    """The story of what went well is forgotten; the job is not."""

    def test_of_a_delivered_job_the_first_line_stays_and_all_its_facts(self, ledger: Ledger) -> None:
        """A dry run counts the same, and changes nothing; a second one finds nothing; listed again it is not new."""
        whole(ledger, A)
        before, told = found(ledger, A[0], PIPELINE), ledger.story(A[0])
        deliveries = list(ledger.deliveries(PIPELINE))

        assert len(told) - 1 == ledger.prune_history(LATER, dry_run=True)
        assert told == ledger.story(A[0])
        assert len(told) - 1 == ledger.prune_history(LATER)
        assert told[:1] == ledger.story(A[0])
        assert (before, deliveries) == (found(ledger, A[0], PIPELINE), list(ledger.deliveries(PIPELINE)))
        assert 0 == ledger.prune_history(LATER)
        assert 0 == ledger.plan(PIPELINE, [A], LATER)

    @pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.SUCCEEDED])
    def test_a_job_that_did_not_succeed_keeps_its_story(self, ledger: Ledger, state: JobState) -> None:
        """Whatever its age: somebody may still ask why."""
        key = add(ledger)
        drive(ledger, key, state)
        told = ledger.story(key)

        assert 0 == ledger.prune_history(LATER)
        assert told == ledger.story(key)

    @pytest.mark.parametrize("end", [DeliveryState.PENDING, DeliveryState.FAILED, None])
    def test_a_job_that_is_not_delivered_everywhere_keeps_its_story(
        self, ledger: Ledger, end: DeliveryState | None
    ) -> None:
        """Nor one that another pipeline shares and has not begun to deliver."""
        whole(ledger, A)
        listed(ledger, NOW, A, pipeline="other")
        if end is not None:
            delivered(ledger, A, NOW, end, pipeline="other")

        assert 0 == ledger.prune_history(LATER)
        ledger.plan_deliveries("other", A[0], {"out": "f"}, NOW)
        ledger.reset_delivery("other", A[0], "out", NOW)
        delivered(ledger, A, NOW, pipeline="other")
        assert 0 < ledger.prune_history(LATER)

    def test_what_is_young_or_of_another_pipeline_stays(self, ledger: Ledger) -> None:
        """Age counts from the last delivery."""
        whole(ledger, A)
        ledger.reset_delivery(PIPELINE, A[0], "out", NOW + 50 * DAY)
        delivered(ledger, A, NOW + 50 * DAY)

        assert 0 == ledger.prune_history(NOW + 10 * DAY)
        assert 0 == ledger.prune_history(LATER, pipeline="other")
        assert 0 < ledger.prune_history(LATER, pipeline=PIPELINE)

    def test_shards_that_are_done_are_forgotten(self, ledger: Ledger) -> None:
        """Of the pipeline that is asked for; those with work left are not."""
        key = add(ledger)
        first, second = ledger.add_shards(PIPELINE, "b", [[key], [key]], {}, NOW)
        assert ledger.claim_shard("b", "me", LEASE, NOW, first=first, only=True)
        ledger.finish_shard(first, "me", ShardNotes(), NOW)

        assert (0, 0) == (ledger.prune_shards(NOW), ledger.prune_shards(LATER, pipeline="other"))
        assert (1, 1, 0) == (
            ledger.prune_shards(LATER, dry_run=True),
            ledger.prune_shards(LATER, pipeline=PIPELINE),
            ledger.prune_shards(LATER),
        )
        assert [second] == [shard.id for shard in ledger.shards("b")]


class ResultPruneContract:
    """Results of versions that were replaced for long are found, and no others."""

    def test_results_of_a_replaced_version_are_found(self, ledger: Ledger) -> None:
        """Once; the job stays as it is otherwise, and what is current is not among them."""
        old = whole(ledger, A)
        assert [] == ledger.replaced_results(LATER)
        whole(ledger, B, NOW + DAY)
        before = found(ledger, A[0])

        assert [old] == ledger.replaced_results(LATER) == ledger.replaced_results(LATER, pipeline=PIPELINE)
        assert [] == ledger.replaced_results(LATER, pipeline="other")
        ledger.forget_results([A[0]])
        after = found(ledger, A[0])
        assert ("", JobState.SUCCEEDED, before.job_id) == (after.result_key, after.state, after.job_id)
        assert [] == ledger.replaced_results(LATER)

    def test_a_version_replaced_a_short_time_ago_keeps_them(self, ledger: Ledger) -> None:
        """However long it stood: the age is of the replacement."""
        whole(ledger, A)
        whole(ledger, B, NOW + 50 * DAY)

        assert [] == ledger.replaced_results(NOW + 50 * DAY)
        assert 1 == len(ledger.replaced_results(NOW + 51 * DAY))

    def test_a_version_that_came_back_keeps_them(self, ledger: Ledger) -> None:
        """A, B, then A again: B is the replaced one, when A is back for long."""
        whole(ledger, A)
        result = whole(ledger, B, NOW + DAY)
        listed(ledger, NOW + 2 * DAY, A)

        assert [] == ledger.replaced_results(NOW + DAY)
        assert [result] == ledger.replaced_results(LATER)

    def test_a_version_that_just_gave_way_to_an_old_one_keeps_them(self, ledger: Ledger) -> None:
        """Reported by events, it was never listed again meanwhile: the age is of the return, not of what returned."""
        whole(ledger, A)
        result = whole(ledger, B, NOW + DAY)
        listed(ledger, NOW + 99 * DAY, A)
        ledger.reset_delivery(PIPELINE, A[0], "out", NOW + 99 * DAY)
        delivered(ledger, A, NOW + 99 * DAY)

        assert [] == ledger.replaced_results(NOW + 50 * DAY)
        assert [result] == ledger.replaced_results(LATER)

    def test_a_version_is_kept_until_a_newer_one_has_results(self, ledger: Ledger) -> None:
        """What the routes show is of the older one until then."""
        whole(ledger, A)
        listed(ledger, NOW + DAY, B)
        drive(ledger, B[0], JobState.UNKNOWN)
        assert [] == ledger.replaced_results(LATER)

        whole(ledger, C, NOW + 2 * DAY)
        assert [A[0]] == [one.job_key for one in ledger.replaced_results(LATER)]

    def test_what_another_pipeline_still_shows_is_kept(self, ledger: Ledger) -> None:
        """Until that one lists the newer version too."""
        listed(ledger, NOW, A, pipeline="other")
        whole(ledger, A)
        delivered(ledger, A, NOW, pipeline="other")
        whole(ledger, B, NOW + DAY)
        assert [] == ledger.replaced_results(LATER)

        listed(ledger, NOW + 2 * DAY, B, pipeline="other")
        assert [A[0]] == [one.job_key for one in ledger.replaced_results(LATER)]

    @pytest.mark.parametrize("end", [DeliveryState.PENDING, DeliveryState.FAILED])
    def test_what_a_route_is_still_to_get_is_kept(self, ledger: Ledger, end: DeliveryState) -> None:
        """Nothing that is undelivered goes."""
        listed(ledger, NOW, A)
        stored(ledger, A, NOW)
        delivered(ledger, A, NOW, end)
        whole(ledger, B, NOW + DAY)

        assert [] == ledger.replaced_results(LATER)

    def test_what_a_copy_has_taken_over_is_kept(self, ledger: Ledger) -> None:
        """Until the copy is replaced too."""
        copy, newer = planned(video(7)), planned(video(7, version="v2"))
        whole(ledger, A)
        listed(ledger, NOW, copy)
        stored(ledger, copy, NOW, A[0])
        delivered(ledger, copy, NOW)
        whole(ledger, B, NOW + DAY)
        assert [] == ledger.replaced_results(LATER)

        whole(ledger, newer, NOW + DAY)
        assert [StoredResult(A[0], A[0]), StoredResult(copy[0], A[0])] == ledger.replaced_results(LATER)
