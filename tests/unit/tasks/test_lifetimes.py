"""Signed URLs that die too early are told before, and repaired after."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tasks.domain.errors import AccessDenied, JobFailed, NotSignable, ReelrouteError, RequestRefused
from tasks.domain.job import JobState
from tasks.domain.video import SignedUrl, VideoRef
from tasks.infer import advance
from tasks.lifetimes import Lifetimes
from tasks.plan import make_plan
from tasks.preview import preview
from tasks.run import Run
from tasks.second_chance import died_of_its_url
from tests.rig import NOON, Rig

DIED = JobFailed("fetching the video: HTTP 403 Forbidden", code="access_denied")


def signing(run: Run, lives: timedelta | None, *, error: ReelrouteError | None = None) -> list[VideoRef]:
    """Let the run's stores sign URLs that live so long; returns the videos as they are signed."""
    signed: list[VideoRef] = []

    def grant(video: VideoRef) -> SignedUrl:
        signed.append(video)
        if error is not None:
            raise error
        expires: datetime | None = None if lives is None else run.clock() + lives
        return SignedUrl(f"http://store/{len(signed)}", expires)

    run.stores.grant = grant  # type: ignore[method-assign]
    return signed


def test_a_plan_warns_of_urls_that_live_shorter_than_a_job_may_take(rig: Rig) -> None:
    """One sentence for the store, with both durations, in `run` and in `plan`."""
    run = rig.run()
    rig.listed(run)
    signing(run, timedelta(minutes=4, milliseconds=100))

    warnings = make_plan(run, 0).warnings
    shown = preview(run.pipeline, run.spec, run.stores, None, run.clock()).warnings

    assert 1 == len(warnings)
    assert "0:04:00" in warnings[0]
    assert "0:10:00" in warnings[0]
    assert warnings == shown


@pytest.mark.parametrize("lives", [timedelta(minutes=10), timedelta(hours=24), None])
def test_urls_that_live_long_enough_are_no_news(rig: Rig, lives: timedelta | None) -> None:
    """Also those of public objects, which never expire."""
    run = rig.run()
    job = rig.listed(run)[0]
    signing(run, lives)

    assert "" == Lifetimes(run.pipeline, run.stores).warning(job.video, run.clock())


@pytest.mark.parametrize("error", [NotSignable("no key"), AccessDenied("403")])
def test_a_store_that_cannot_sign_is_told_elsewhere(rig: Rig, error: ReelrouteError) -> None:
    """The video's own failure names it; a warning here would say it twice."""
    run = rig.run()
    job = rig.listed(run)[0]
    signing(run, None, error=error)

    assert "" == Lifetimes(run.pipeline, run.stores).warning(job.video, run.clock())


def test_files_that_are_uploaded_have_no_urls_to_warn_about(rig: Rig) -> None:
    """And each store is signed for once, not once per video."""
    run = rig.run()
    first, second = rig.listed(run)
    assert [] == make_plan(run, 0).warnings
    signed = signing(run, timedelta(minutes=1))
    lifetimes = Lifetimes(run.pipeline, run.stores)

    assert lifetimes.warning(first.video, NOON)
    assert "" == lifetimes.warning(second.video, NOON)
    assert [first.video] == signed


async def test_a_job_whose_url_died_is_signed_anew_and_submitted_once_more(rig: Rig) -> None:
    """Failed, planned, submitted with a fresh URL, succeeded; all of it in the job's story."""
    run = rig.run()
    job = rig.listed(run)[0]
    signing(run, timedelta(hours=1))
    rig.backend.checks = [DIED, True]

    async with run.holding(job.key) as held:
        assert held is not None
        ended = await advance(run, held, wait=True)

    assert (JobState.SUCCEEDED, 2, 2) == (ended.state, ended.submitted, rig.backend.taken)
    assert ["http://store/1", "http://store/2"] == [grant.url for grant in rig.backend.asked]  # type: ignore[union-attr]
    assert ["planned", "submitting", "submitted", "failed", "planned", "submitting", "submitted", "succeeded"] == [
        move.state for move in run.ledger.story(job.key) if move.subject == "job"
    ]
    kept = run.ledger.job(job.key)
    assert kept is not None
    assert (2, None) == (kept.attempts, kept.failure)


async def test_a_second_death_is_final(rig: Rig) -> None:
    """Nobody pays a third time, in this run or in a later one."""
    run = rig.run()
    job = rig.listed(run)[0]
    signing(run, timedelta(hours=1))
    rig.backend.checks = [DIED, DIED, DIED]

    async with run.holding(job.key) as held:
        assert held is not None
        with pytest.raises(JobFailed):
            await advance(run, held, wait=True)

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert kept.failure is not None
    assert (JobState.FAILED, "access_denied", 2) == (kept.state, kept.failure.code, rig.backend.taken)


async def test_a_second_chance_that_the_budget_does_not_allow_is_not_given(rig: Rig) -> None:
    """One video's worth of money is one submission."""
    run = rig.run(more="budget: {cost_per_1000_frames: 1, max_cost: 0.005}")
    rig.listed(run)
    todo = make_plan(run, 0).todo
    rig.backend.checks = [DIED]

    async with run.holding(todo[0]) as held:
        assert held is not None
        with pytest.raises(JobFailed):
            await advance(run, held, wait=True)

    assert (1, 1) == (len(todo), rig.backend.taken)


@pytest.mark.parametrize(
    ("error", "hours", "died"),
    [
        (JobFailed("403 Client Error: Forbidden for url"), 0, True),
        (JobFailed("Request has expired"), 0, True),
        (JobFailed("no such file", code="object_missing"), 0, False),
        (JobFailed("no such file", code="object_missing"), 24, True),
        (JobFailed("something went wrong"), 23, False),
        (JobFailed("something went wrong"), 24, True),
        (JobFailed("invalid file signature", code="video_unreadable"), 0, False),
        (JobFailed("cannot decode", code="video_unreadable"), 48, False),
        (JobFailed("frame 4030 is broken"), 0, False),
        (RequestRefused("403"), 0, False),
    ],
)
def test_only_a_dead_url_is_a_reason_to_pay_again(rig: Rig, error: ReelrouteError, hours: int, died: bool) -> None:
    """The service's 403 is one; its vaguer complaints are only once the URL's time has passed."""
    run = rig.run()
    job = rig.listed(run)[0]
    run.ledger.claim(job.key, run.owner, run.lease, run.clock())
    run.ledger.move(job.key, JobState.PLANNED, JobState.SUBMITTING, run.owner, run.clock(), token="t")
    job = run.ledger.move(job.key, JobState.SUBMITTING, JobState.SUBMITTED, run.owner, run.clock(), job_id="j")
    rig.clock.now += timedelta(hours=hours)

    assert died is died_of_its_url(run, job, error)
