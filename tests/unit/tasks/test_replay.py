"""Replay: what is taken up, what it may cost, and that nothing else is touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deployments.cli.status import read
from tasks.collect import collect_job
from tasks.domain.errors import (
    AuthRefused,
    JobFailed,
    JobUnknown,
    ReelrouteError,
    RequestRefused,
    ServiceUnavailable,
)
from tasks.domain.job import DeliveryState, Failure, JobState
from tasks.ledger.base import JobRecord
from tasks.plan import make_plan
from tasks.poll import TIMES
from tasks.replay import Selection, Wanted, _place, ask_again, plan_again, reset_deliveries, select
from tasks.run import Run
from tests.rig import Rig

PRICED = "budget: {cost_per_1000_frames: 0.5}"


def ended(run: Run, job: JobRecord, to: JobState, stage: str = "", job_id: str = "job-7") -> JobRecord:
    """Bring a job to an end, as a run of the past did."""
    failure = Failure(stage, "some_code", "it broke", "mend it") if stage else None
    run.ledger.claim(job.key, "dead", run.lease, run.clock())

    def move(before: JobState, after: JobState, **facts: Any) -> None:
        run.ledger.move(job.key, before, after, "dead", run.clock(), **facts)

    if stage == "probe":
        move(JobState.PLANNED, to, failure=failure)
    else:
        move(JobState.PLANNED, JobState.SUBMITTING, token="t", service=run.service)
        if to is JobState.UNKNOWN or stage == "submit":
            move(JobState.SUBMITTING, to, failure=failure)
        else:
            move(JobState.SUBMITTING, JobState.SUBMITTED, job_id=job_id)
            move(JobState.SUBMITTED, to, failure=failure)
    run.ledger.release(job.key, "dead")
    return state_of(run, job.key)


def state_of(run: Run, key: str) -> JobRecord:
    """The job as the ledger has it now."""
    job = run.ledger.job(key, pipeline=run.pipeline.name)
    assert job is not None
    return job


def chosen(run: Run, **wanted: bool | str) -> Selection:
    """What these switches choose."""
    return select(run.ledger, run.pipeline, run.spec, Wanted(**wanted))  # type: ignore[arg-type]


def two(rig: Rig, run: Run) -> tuple[JobRecord, JobRecord]:
    """The two listed jobs, probed."""
    rig.listed(run)
    make_plan(run, 0)
    first, second = run.ledger.jobs(run.pipeline.name)
    return first, second


def failed_delivery(run: Run, key: str, route: str = "lightly", leaves: DeliveryState = DeliveryState.FAILED) -> None:
    """A route that could not take a job's predictions."""
    run.ledger.plan_deliveries("yard", key, run.fingerprints, run.clock())
    run.ledger.claim_delivery("yard", key, route, "dead", run.lease, run.clock())
    run.ledger.finish_delivery("yard", key, route, "dead", leaves, run.clock(), failure=Failure("route", "x", "y"))


def test_without_a_switch_nothing_is_chosen_that_costs(rig: Rig) -> None:
    """Failed deliveries and unreadable videos, yes; failed and unknown jobs, no."""
    run = rig.run()
    first, second = two(rig, run)
    ended(run, first, JobState.SUCCEEDED)
    ended(run, second, JobState.FAILED, "poll")
    failed_delivery(run, first.key)

    found = chosen(run)

    assert ([], [], [], [(first.key, "lightly")]) == (found.ask, found.submit, found.probe, found.deliver)
    assert 0 == found.may_pay


def test_what_status_lists_of_deliveries_is_what_replay_takes_up(rig: Rig) -> None:
    """A full disk leaves a delivery pending, with what went wrong: it needs no run to be tried again."""
    run = rig.run()
    first, second = two(rig, run)
    ended(run, first, JobState.SUCCEEDED)
    ended(run, second, JobState.SUCCEEDED)
    failed_delivery(run, first.key, "lightly", DeliveryState.PENDING)
    failed_delivery(run, second.key, "results")

    listed = read(run.ledger, "yard")["failures"]

    assert {("pending", "route lightly"), ("failed", "route results")} == {
        (one["state"], one["stage"]) for one in listed
    }
    assert {(first.key, "lightly"), (second.key, "results")} == set(chosen(run).deliver)
    assert [(first.key, "lightly")] == chosen(run, video=first.video.name).deliver


def test_deliveries_of_a_video_that_was_replaced_are_left_alone(rig: Rig) -> None:
    """Its routes show the newer one; what is not taken up is said, as `status` says it."""
    run = rig.run()
    first, _ = two(rig, run)
    ended(run, first, JobState.SUCCEEDED)
    failed_delivery(run, first.key)
    (rig.videos / first.video.name).write_bytes(b"another version")
    rig.listed(rig.run())

    found = chosen(run)

    assert ([], {"the video was replaced": 1}) == (found.deliver, found.left_alone)
    assert [] == read(run.ledger, "yard")["failures"]
    by_route = chosen(run, route="lightly")
    assert ([], {"the video was replaced": 1}) == (by_route.deliver, by_route.left_alone)


def test_a_video_that_could_not_be_read_is_looked_at_again(rig: Rig) -> None:
    """Probing is free, so it needs no switch."""
    run = rig.run()
    first, _ = two(rig, run)
    ended(run, first, JobState.FAILED, "probe")

    assert [first.key] == chosen(run).probe


@pytest.mark.parametrize(
    ("state", "stage", "place"),
    [
        (JobState.EXPIRED, "poll", "ask"),
        (JobState.FAILED, "check", "ask"),
        (JobState.FAILED, "poll", "ask"),
        (JobState.FAILED, "submit", "submit"),
        (JobState.FAILED, "probe", "submit"),
    ],
)
def test_what_the_service_may_have_is_asked_for_before_it_is_paid_again(
    rig: Rig, state: JobState, stage: str, place: str
) -> None:
    """Where there is a job id, the service is asked; what has none can only be submitted."""
    run = rig.run(more=PRICED)
    first, _ = two(rig, run)
    ended(run, first, state, stage)

    found = chosen(run, failed=True)

    assert [first.key] == getattr(found, place)
    assert {first.key} == found.keys
    assert (1, 5, 0.0025) == (found.may_pay, found.bill.frames, found.bill.cost)


def test_unknown_jobs_are_chosen_by_their_own_switch_only(rig: Rig) -> None:
    """--failed never resubmits what may have been taken."""
    run = rig.run()
    first, second = two(rig, run)
    ended(run, first, JobState.UNKNOWN, "submit")
    ended(run, second, JobState.FAILED, "submit")

    assert [second.key] == chosen(run, failed=True).submit
    assert [first.key] == chosen(run, unknown=True).submit
    assert {first.key, second.key} == set(chosen(run, failed=True, unknown=True).submit)


def test_stored_results_go_to_a_route_again_whether_it_had_them_or_not(rig: Rig) -> None:
    """--route takes all that succeeded, or the one video that is named by name or URI."""
    run = rig.run()
    first, second = two(rig, run)
    for job in (first, second):
        ended(run, job, JobState.SUCCEEDED)

    assert [(first.key, "labelbox"), (second.key, "labelbox")] == chosen(run, route="labelbox").deliver
    assert [(second.key, "labelbox")] == chosen(run, route="labelbox", video=second.video.uri).deliver
    assert [(first.key, "labelbox")] == chosen(run, route="labelbox", video=first.video.name).deliver
    assert [] == chosen(run, route="labelbox", video="no such video").deliver


def test_a_job_of_another_inference_is_left_alone(rig: Rig) -> None:
    """The pipeline has moved on to another rate: paying for the old one would be waste."""
    run = rig.run()
    first, _ = two(rig, run)
    ended(run, first, JobState.FAILED, "poll")
    later = rig.run(inference=", confidence: 0.7")

    found = chosen(later, failed=True)

    assert (set(), {"the pipeline asks for another inference now": 1}) == (found.keys, found.left_alone)


def test_a_job_of_a_video_that_was_replaced_is_left_alone(rig: Rig) -> None:
    """The newer version has a job of its own."""
    run = rig.run()
    first, _ = two(rig, run)
    ended(run, first, JobState.FAILED, "poll")
    path = rig.videos / first.video.name
    path.write_bytes(path.read_bytes() + b"\0")
    later = rig.run()
    rig.listed(later)

    found = chosen(later, failed=True)

    assert (set(), {"the video was replaced": 1}) == (found.keys, found.left_alone)


def test_a_video_that_was_never_measured_is_counted_apart(rig: Rig) -> None:
    """An estimate that leaves something out says so."""
    run = rig.run(more=PRICED)
    first = rig.listed(run)[0]
    ended(run, first, JobState.FAILED, "submit")

    found = chosen(run, failed=True)

    assert (1, 1, 0) == (found.may_pay, found.unmeasured, found.bill.frames)


def test_a_failed_delivery_of_a_route_that_is_gone_is_left_alone(rig: Rig) -> None:
    """Only routes that the pipeline still has are delivered to."""
    run = rig.run()
    first, _ = two(rig, run)
    ended(run, first, JobState.SUCCEEDED)
    run.ledger.plan_deliveries("yard", first.key, {"gone": "f"}, run.clock())
    failed_delivery(run, first.key)
    run.ledger.claim_delivery("yard", first.key, "gone", "dead", run.lease, run.clock())
    run.ledger.finish_delivery("yard", first.key, "gone", "dead", DeliveryState.FAILED, run.clock())

    assert [(first.key, "lightly")] == chosen(run).deliver


def test_choosing_changes_nothing(rig: Rig) -> None:
    """A person may look at the bill and go away."""
    run = rig.run()
    first, second = two(rig, run)
    before = ended(run, first, JobState.FAILED, "poll"), ended(run, second, JobState.EXPIRED, "poll")

    chosen(run, failed=True, unknown=True)

    assert before == (state_of(run, first.key), state_of(run, second.key))


def test_reset_deliveries_are_pending(rig: Rig) -> None:
    """Delivered, failed or never planned: the router finds them all to do."""
    run = rig.run()
    first, second = two(rig, run)
    failed_delivery(run, first.key)

    reset_deliveries(run, [(first.key, "lightly"), (second.key, "lightly")])

    pending = run.ledger.deliveries("yard", [DeliveryState.PENDING])
    assert {first.key, second.key} == {one.job_key for one in pending if one.route == "lightly"}


async def test_a_late_success_is_collected_without_paying(rig: Rig) -> None:
    """An expired job that is done after all costs nothing more."""
    run = rig.run()
    first, _ = two(rig, run)
    ended(run, first, JobState.EXPIRED, "poll")

    revived = await ask_again(run, first.key)

    assert revived is not None
    assert (JobState.SUBMITTED, "job-7") == (revived.state, revived.job_id)
    async with run.holding(first.key) as job:
        assert job is not None
        assert JobState.SUCCEEDED is (await collect_job(run, job)).state
    assert 0 == rig.backend.taken


def test_an_unknown_job_with_an_id_is_asked_for_first(rig: Rig) -> None:
    """Somebody noted the id after all: the service can say what became of it."""
    run = rig.run()
    first, _ = two(rig, run)
    unknown, found = ended(run, first, JobState.UNKNOWN, "submit"), Selection()

    assert _place(found, replace(unknown, job_id="job-7"), Wanted(unknown=True)) is found.ask
    assert _place(found, unknown, Wanted(unknown=True)) is found.submit


@pytest.mark.parametrize("error", [JobUnknown("404"), RequestRefused("no such id"), UnicodeError("surrogate")])
async def test_one_answer_that_a_job_is_not_known_pays_nothing(rig: Rig, error: ReelrouteError) -> None:
    """It has to be said several times, a poll interval apart; a job that is there after all is collected."""
    run = rig.run()
    first, _ = two(rig, run)
    ended(run, first, JobState.EXPIRED, "poll")
    rig.backend.checks = [error] * (TIMES - 1)

    revived = await ask_again(run, first.key)

    assert revived is not None
    assert (JobState.SUBMITTED, [10.0] * (TIMES - 1)) == (revived.state, rig.clock.slept)


@pytest.mark.parametrize(("error", "times"), [(JobFailed("no"), 1), (JobUnknown("404"), TIMES)])
async def test_what_the_service_does_not_have_is_to_be_paid_again(rig: Rig, error: ReelrouteError, times: int) -> None:
    """Asked in vain, the job may be planned as if it had never been submitted, its story kept."""
    run = rig.run()
    first, _ = two(rig, run)
    ended(run, first, JobState.EXPIRED, "poll")
    rig.backend.checks = [error] * times

    assert await ask_again(run, first.key) is None
    planned = await plan_again(run, first.key)

    assert planned is not None
    assert (JobState.PLANNED, "", 1) == (planned.state, planned.job_id, planned.attempts)
    assert ("expired", "planned") in [(move.before, move.state) for move in run.ledger.story(first.key)]


@pytest.mark.parametrize("error", [AuthRefused("401"), ServiceUnavailable("502")])
async def test_a_service_that_does_not_say_decides_nothing(rig: Rig, error: ReelrouteError) -> None:
    """Out of reach is not "has no results": the job stays as it was, unpaid."""
    run = rig.run()
    first, _ = two(rig, run)
    ended(run, first, JobState.EXPIRED, "poll")
    rig.backend.checks = [error]

    with pytest.raises(type(error)):
        await ask_again(run, first.key)

    assert JobState.EXPIRED is state_of(run, first.key).state


async def test_a_job_that_somebody_else_took_up_is_left_to_them(rig: Rig) -> None:
    """Two replays at once pay once."""
    run, other = rig.run(), rig.run()
    first, _ = two(rig, run)
    ended(run, first, JobState.FAILED, "poll")

    async with other.holding(first.key):
        assert await plan_again(run, first.key) is None
        assert await ask_again(run, first.key) is None
    assert await plan_again(other, first.key) is not None
    assert await plan_again(run, first.key) is None
