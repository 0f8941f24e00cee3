"""Submission: the intent is recorded first, and nothing that may have been paid is sent again."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from tasks.domain.errors import (
    AuthRefused,
    KeyUnsafe,
    LedgerConflict,
    LedgerUnusable,
    ModelUnknown,
    ObjectMissing,
    PlanRefused,
    RateLimited,
    ReelrouteError,
    RequestRefused,
    ServiceUnavailable,
    SubmissionUnknown,
    VideoReplaced,
)
from tasks.domain.job import JobState
from tasks.inference.base import LocalVideo
from tasks.ledger.base import JobRecord
from tasks.run import Run
from tasks.stop import Stop
from tasks.submit import ATTEMPTS, LONGEST_WAIT_S, state_after, submit_job
from tests.rig import Rig


def held(rig: Rig, run: Run) -> JobRecord:
    """The first listed job, with its lease taken."""
    job = rig.listed(run)[0]
    claimed = run.ledger.claim(job.key, run.owner, run.lease, run.clock())
    assert claimed is not None
    return claimed


async def test_a_taken_job_is_recorded_with_its_id(rig: Rig) -> None:
    """After the service's answer the ledger knows job id, service and time."""
    run = rig.run()

    job = await submit_job(run, held(rig, run))

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert (JobState.SUBMITTED, "job-1", "http://127.0.0.1:9") == (kept.state, kept.job_id, kept.service)
    assert rig.clock.now == kept.submitted_at


async def test_the_intent_is_in_the_ledger_before_the_request_leaves(rig: Rig) -> None:
    """Whoever dies with the request under way leaves a job that says so."""
    run = rig.run()
    job = held(rig, run)
    seen: list[JobRecord | None] = []
    rig.backend.before_answer = lambda: seen.append(run.ledger.job(job.key))

    await submit_job(run, job)

    assert seen[0] is not None
    assert (JobState.SUBMITTING, 1) == (seen[0].state, seen[0].attempts)
    assert seen[0].token


async def test_a_lost_answer_makes_the_job_unknown_and_is_not_sent_again(rig: Rig) -> None:
    """The one ambiguous case ends with one request and a row that tells people."""
    run = rig.run()
    rig.backend.submits = [SubmissionUnknown("the answer was lost")]
    job = held(rig, run)

    with pytest.raises(SubmissionUnknown):
        await submit_job(run, job)

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert kept.failure is not None
    assert (JobState.UNKNOWN, "submission_unknown") == (kept.state, kept.failure.code)
    assert 1 == len(rig.backend.asked)


async def test_an_id_that_another_job_has_is_not_believed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway gives an earlier answer again: the results would be another video's, and nobody knows of ours."""
    (rig.videos / "b.mp4").write_bytes((rig.videos / "a.mp4").read_bytes())
    run = rig.run()
    first, second = rig.listed(run)[:2]
    for job in (first, second):
        assert run.ledger.claim(job.key, run.owner, run.lease, run.clock()) is not None
    submitted = await submit_job(run, first)
    monkeypatch.setattr(rig.backend, "taken", 0)

    with pytest.raises(SubmissionUnknown, match=f"the id of another job .{submitted.job_id}"):
        await submit_job(run, second)

    kept = run.ledger.job(second.key)
    assert kept is not None
    assert (JobState.UNKNOWN, "") == (kept.state, kept.job_id)
    assert submitted == run.ledger.job(first.key)


async def test_a_rate_limit_is_waited_out_as_long_as_the_service_asks(rig: Rig) -> None:
    """429 with its wait, then success: one job, and the wait was the service's own."""
    run = rig.run()
    rig.backend.submits = [RateLimited("slow down", retry_after_s=7.0), RateLimited("slow down")]

    job = await submit_job(run, held(rig, run))

    assert JobState.SUBMITTED is job.state
    assert 1 == rig.backend.taken
    assert 7.0 == rig.clock.slept[0]
    assert 3 == job.attempts


async def test_an_absurd_wait_is_cut(rig: Rig) -> None:
    """A service that asks for a day does not get one."""
    run = rig.run()
    rig.backend.submits = [RateLimited("slow down", retry_after_s=86400.0)]

    await submit_job(run, held(rig, run))

    assert [LONGEST_WAIT_S] == rig.clock.slept


async def test_a_service_out_of_reach_leaves_the_job_to_be_done(rig: Rig) -> None:
    """Nothing was sent, so the next run may try as if nothing had been."""
    run = rig.run()
    rig.backend.submits = [ServiceUnavailable("refused") for _ in range(ATTEMPTS)]
    job = held(rig, run)

    with pytest.raises(ServiceUnavailable):
        await submit_job(run, job)

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert (JobState.PLANNED, "") == (kept.state, kept.token)
    assert ATTEMPTS == len(rig.backend.asked)


@pytest.mark.parametrize("error", [AuthRefused("401"), PlanRefused("402")])
async def test_a_refused_key_says_nothing_about_the_video(rig: Rig, error: ReelrouteError) -> None:
    """A wrong key or an empty account fails the run, not its videos."""
    run = rig.run()
    rig.backend.submits = [error]
    job = held(rig, run)

    with pytest.raises(type(error)):
        await submit_job(run, job)

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert JobState.PLANNED is kept.state


async def test_a_refused_video_is_recorded_with_its_reason(rig: Rig) -> None:
    """What the service refuses for good goes to the dead letters, with code, message and hint."""
    run = rig.run()
    rig.backend.submits = [RequestRefused("fps too high", hint="lower it")]
    job = held(rig, run)

    with pytest.raises(RequestRefused):
        await submit_job(run, job)

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert kept.failure is not None
    assert JobState.FAILED is kept.state
    assert ("submit", "request_refused", "fps too high", "lower it") == (
        kept.failure.stage,
        kept.failure.code,
        kept.failure.message,
        kept.failure.hint,
    )


async def test_a_local_file_is_uploaded_under_a_name_of_its_own(rig: Rig) -> None:
    """Without a signer a file is uploaded, and two files of one basename get two names."""
    run = rig.run()
    names = set()
    for job in rig.listed(run):
        run.ledger.claim(job.key, run.owner, run.lease, run.clock())
        await submit_job(run, job)
    for grant in rig.backend.asked:
        assert isinstance(grant, LocalVideo)
        assert grant.path.is_file()
        assert grant.upload_name.endswith(".mp4")
        names.add(grant.upload_name)

    assert 2 == len(names)


async def test_a_job_without_our_lease_is_not_submitted(rig: Rig) -> None:
    """Two processes on one video: the one without the lease sends nothing."""
    run, other = rig.run(), rig.run()
    job = held(rig, run)

    with pytest.raises(LedgerConflict):
        await submit_job(other, job)

    assert [] == rig.backend.asked


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (SubmissionUnknown(""), JobState.UNKNOWN),
        (RateLimited(""), JobState.PLANNED),
        (ServiceUnavailable(""), JobState.PLANNED),
        (AuthRefused(""), JobState.PLANNED),
        (PlanRefused(""), JobState.PLANNED),
        (LedgerUnusable(""), JobState.PLANNED),
        (RequestRefused(""), JobState.FAILED),
        (ModelUnknown(""), JobState.FAILED),
        (ObjectMissing(""), JobState.FAILED),
        (KeyUnsafe(""), JobState.FAILED),
    ],
)
def test_every_kind_of_error_leaves_the_job_where_it_belongs(error: ReelrouteError, state: JobState) -> None:
    """Ambiguous is unknown, what may pass is planned, the rest is failed."""
    assert state is state_after(error)


async def test_a_run_that_has_to_end_before_the_answer_records_that_nobody_knows(rig: Rig) -> None:
    """Cut short in mid-request: the job is unknown at once, not after somebody finds it."""
    run = rig.run()
    job = held(rig, run)
    run.stop = Stop(grace_s=0.01)

    async def hang(*_: Any, **__: Any) -> str:
        run.stop.ask(signal.SIGTERM)
        await asyncio.sleep(3600)
        return "never"

    rig.backend.submit = hang  # type: ignore[method-assign]
    with pytest.raises(SubmissionUnknown, match="SIGTERM"):
        await submit_job(run, job)

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert JobState.UNKNOWN is kept.state


async def test_an_answer_that_comes_within_the_grace_is_recorded(rig: Rig) -> None:
    """Asked to stop while the request is under way, we wait for the job id."""
    run = rig.run()
    rig.backend.before_answer = lambda: run.stop.ask(signal.SIGTERM)

    job = await submit_job(run, held(rig, run))

    assert (JobState.SUBMITTED, "job-1") == (job.state, job.job_id)


async def test_no_second_attempt_is_made_once_the_run_is_to_stop(rig: Rig) -> None:
    """A 429 is not waited out any more; the job stays planned."""
    run = rig.run()
    rig.backend.submits = [RateLimited("slow down", retry_after_s=60.0)]
    rig.backend.before_answer = lambda: run.stop.ask(signal.SIGTERM)
    job = held(rig, run)

    with pytest.raises(RateLimited):
        await submit_job(run, job)

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert (JobState.PLANNED, 1, []) == (kept.state, len(rig.backend.asked), rig.clock.slept)


async def test_a_video_that_was_replaced_is_not_submitted(rig: Rig) -> None:
    """Replaced between plan and submission: nothing is sent, and the failure has a code of its own."""
    run = rig.run()
    job = held(rig, run)
    (rig.videos / job.video.name).write_bytes(b"another film")

    with pytest.raises(VideoReplaced):
        await submit_job(run, job)

    kept = run.ledger.job(job.key)
    assert kept is not None
    failure = kept.failure
    assert failure is not None
    assert ("sign", "video_replaced", []) == (failure.stage, failure.code, rig.backend.asked)
