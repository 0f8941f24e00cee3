"""Submit a job, once: intent into the ledger, request, answer into the ledger.

The order of the three is what keeps a job from being paid twice. Between the first and the
third, a crash leaves the job ``submitting`` under a lease; whoever finds it there later with
the lease passed knows that the request may have been sent, and calls the job ``unknown``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import NoReturn
from uuid import uuid4

from tasks.domain.errors import (
    Ambiguous,
    AuthRefused,
    CopyAhead,
    LedgerUnavailable,
    PlanRefused,
    ReelrouteError,
    Retryable,
    SlotsFull,
    SubmissionUnknown,
)
from tasks.domain.job import Failure, JobState
from tasks.domain.video import SignedUrl
from tasks.inference.base import LocalVideo
from tasks.ledger.base import JobRecord, Slots
from tasks.run import Run
from tasks.stop import CutShort

ATTEMPTS = 5
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 120.0
# Between two looks for a free slot; a poll is the soonest that one becomes free.
SLOT_WAIT_S = 10.0
LEDGER_WAIT_S = 5.0

log = logging.getLogger(__name__)


async def submit_job(run: Run, job: JobRecord, *, wait: bool = True, slots: Slots | None = None) -> JobRecord:
    """Get the service to take a planned job that we hold; return it as submitted.

    Waits for its turn and, with ``wait``, until fewer than ``max_in_flight`` jobs are open at the
    service. Tries again only what cannot have created a job: no connection, 429, 503. Signs anew
    each time.

    Args:
        slots: Under which it may be open; by default the run's.

    Raises:
        CopyAhead: A copy was submitted first; the job is planned as before.
        SubmissionUnknown: The answer was lost; the job is recorded as unknown.
        AuthRefused, PlanRefused, Retryable: Nothing was taken; the job is planned as before.
        Permanent: The service or the store refuses this video; the job is recorded as failed.
    """
    attempt, told = 1, False
    while True:
        await run.submits.turn()
        if run.stop.asked:
            raise Retryable(f"{job.video}: the run was asked to stop before it was submitted")
        grant = await _grant(run, job)
        try:
            return await run.stop.finish(_submit_once(run, job, grant, slots or run.slots))
        except CutShort:
            await _left_midway(run, job)
        except SlotsFull as full:
            if not told:
                log.info("%s waits: %s", job.video, full)
            told = True
            if not wait or not await run.pause(_slot_wait_s(run)):
                raise
        except Retryable as error:
            if attempt == ATTEMPTS or run.stop.asked or isinstance(error, CopyAhead):
                raise
            wait_s = error.retry_after_s or FIRST_WAIT_S * 2 ** (attempt - 1) * (0.5 + run.chance())
            attempt += 1
            if not await run.pause(min(wait_s, LONGEST_WAIT_S)):
                raise


def _slot_wait_s(run: Run) -> float:
    return min(SLOT_WAIT_S, run.pipeline.inference.poll_interval.total_seconds()) * (0.5 + run.chance())


async def _grant(run: Run, job: JobRecord) -> SignedUrl | LocalVideo:
    """Make the service able to read the video; what rules that out for good is recorded."""
    try:
        return await asyncio.to_thread(run.stores.grant, job.video)
    except ReelrouteError as error:
        if not isinstance(error, Retryable):
            await run.move(job, JobState.FAILED, failure=failure_of("sign", error))
        raise


async def _submit_once(run: Run, job: JobRecord, grant: SignedUrl | LocalVideo, slots: Slots) -> JobRecord:
    """One attempt, whatever its end recorded before it is returned or raised."""
    job = await run.move(job, JobState.SUBMITTING, token=uuid4().hex, service=run.service, slots=slots)
    try:
        job_id = await run.backend.submit(grant, run.spec, run.models)
    except ReelrouteError as error:
        to = state_after(error)
        await run.move(job, to, failure=None if to is JobState.PLANNED else failure_of("submit", error))
        raise
    return await _keep_id(run, job, job_id)


async def _keep_id(run: Run, job: JobRecord, job_id: str) -> JobRecord:
    """Record the id of a job that the service took, however long the ledger is out of reach."""
    while True:
        try:
            return await run.move(job, JobState.SUBMITTED, job_id=job_id)
        except LedgerUnavailable as error:
            log.warning("%s: job %s was taken, and cannot be recorded yet: %s", job.video, job_id, error)
            if not await run.pause(LEDGER_WAIT_S):
                raise


async def _left_midway(run: Run, job: JobRecord) -> NoReturn:
    """The run had to end before the service answered: whether it took the job, nobody knows."""
    error = SubmissionUnknown(f"{job.video}: the run was stopped before the service answered ({run.stop.why})")
    now = await asyncio.to_thread(run.ledger.job, job.key)
    if now is not None and now.state is JobState.SUBMITTING:
        await run.move(now, JobState.UNKNOWN, failure=failure_of("submit", error))
    raise error


def state_after(error: ReelrouteError) -> JobState:
    """Where a submission that ended in ``error`` leaves its job."""
    if isinstance(error, Ambiguous):
        return JobState.UNKNOWN
    # A wrong key or an empty account says nothing about the video: it stays to be done.
    if isinstance(error, Retryable | AuthRefused | PlanRefused):
        return JobState.PLANNED
    return JobState.FAILED


def failure_of(stage: str, error: ReelrouteError) -> Failure:
    """Write an error down as the ledger's dead-letter list keeps it."""
    return Failure(stage, error.code, error.message, error.hint)
