"""A job that failed because its signed URL had died is signed anew and submitted once more."""

from __future__ import annotations

import asyncio

from tasks.choose import allowance_of
from tasks.domain.errors import JobFailed, ReelrouteError
from tasks.domain.job import JobState
from tasks.ledger.base import JobRecord
from tasks.plan import Assessment, sampled_frames_of
from tasks.run import Run

# What a service may call it when it can no longer fetch its input.
_MAY_BE = frozenset({"access_denied", "object_missing", "job_failed"})


def died_of_its_url(run: Run, job: JobRecord, error: ReelrouteError) -> bool:
    """Say whether a job failed because its URL no longer worked: the service's code says so, or its time had passed.

    The service's words are not searched: a word in them is no reason to pay again.
    """
    if not isinstance(error, JobFailed):
        return False
    if error.code == "access_denied":
        return True
    signed = job.submitted_at
    return error.code in _MAY_BE and signed is not None and run.clock() >= signed + run.pipeline.inference.url_lifetime


def refused_by_budget(run: Run, job: JobRecord) -> str:
    """Take on a job that the plan did not count and return "", or say which limit it would exceed."""
    if job.info is None:
        return ""
    if run.allowance is None:
        run.allowance = allowance_of(run.pipeline, run.ledger, run.clock())
    return run.allowance.refuses(Assessment(job.video, job.info, sampled_frames_of(job.info, job.spec.fps), None))


async def second_chance(run: Run, job: JobRecord) -> JobRecord | None:
    """Plan a failed job that we hold once more, within the budget; None if it had its chance, or nothing is left."""
    moves = await asyncio.to_thread(run.ledger.story, job.key)
    again = (JobState.FAILED, JobState.PLANNED)
    if any((move.before, move.state) == again for move in moves if move.subject == "job"):
        return None
    if refused_by_budget(run, job):
        return None
    now = await asyncio.to_thread(run.ledger.job, job.key, pipeline=run.pipeline.name)
    if now is None or now.state is not JobState.FAILED:
        return None
    return await run.move(now, JobState.PLANNED, failure=now.failure)
