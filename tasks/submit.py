"""Submit a job, once: intent into the ledger, request, answer into the ledger.

The order of the three is what keeps a job from being paid twice. Between the first and the
third, a crash leaves the job ``submitting`` under a lease; whoever finds it there later with
the lease passed knows that the request may have been sent, and calls the job ``unknown``. So
that the lease of a process that was merely suspended cannot pass unseen, it is looked at once
more right before the request leaves. An id that the ledger cannot take is kept beside it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import NoReturn
from uuid import uuid4

from tasks.access import denies_others, listed
from tasks.domain.errors import (
    AccessDenied,
    Ambiguous,
    AuthRefused,
    BudgetSpent,
    CopyAhead,
    CredentialsRefused,
    LedgerConflict,
    LedgerUnavailable,
    LedgerUnusable,
    NotSignable,
    PlanRefused,
    ReelrouteError,
    Retryable,
    SlotsFull,
    SubmissionUnknown,
)
from tasks.domain.job import Failure, JobState
from tasks.domain.video import SignedUrl, printable
from tasks.inference.base import LocalVideo
from tasks.job_ids import TakenJob, record_job_id
from tasks.ledger.base import JobRecord, Slots
from tasks.run import Run
from tasks.stop import CutShort

ATTEMPTS = 5
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 120.0
# Between two looks for a free slot; a poll is the soonest that one becomes free.
SLOT_WAIT_S = 10.0
LEDGER_WAIT_S = 5.0
# The ledger takes milliseconds to record an id; after so long it is written down beside it.
PROMPT_S = 2.0

log = logging.getLogger(__name__)


async def submit_job(run: Run, job: JobRecord, *, wait: bool = True, slots: Slots | None = None) -> JobRecord:
    """Get the service to take a planned job that we hold; return it as submitted.

    Waits for its turn and, with ``wait``, until fewer than ``max_in_flight`` jobs are open at the
    service. Tries again only what cannot have created a job (:mod:`tasks.inference.acceptance`).
    Signs anew each time.

    Args:
        slots: Under which it may be open; by default the run's.

    Raises:
        CopyAhead: A copy was submitted first; the job is planned as before.
        BudgetSpent: The period's budget has no room for it; the job is planned as before.
        SubmissionUnknown: The answer was lost; the job is recorded as unknown.
        AuthRefused, PlanRefused, CredentialsRefused, Retryable: Nothing was taken; the job is planned as before.
        Permanent: The service or the store refuses this video; the job is recorded as failed.
    """
    attempt, told = 1, False
    while True:
        await run.submits.turn()
        if run.stop.asked:
            raise Retryable(f"{job.video}: the run was asked to stop before it was submitted")
        grant = await _grant(run, job)
        try:
            async with run.breaker.passage():
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
            final = run.stop.asked or run.breaker.reason is not None
            if attempt == ATTEMPTS or final or isinstance(error, BudgetSpent | CopyAhead | LedgerConflict):
                raise
            wait_s = error.retry_after_s or FIRST_WAIT_S * 2 ** (attempt - 1) * (0.5 + run.chance())
            attempt += 1
            if not await run.pause(min(wait_s, LONGEST_WAIT_S)):
                raise


def _slot_wait_s(run: Run) -> float:
    return min(SLOT_WAIT_S, run.pipeline.inference.poll_interval.total_seconds()) * (0.5 + run.chance())


async def _grant(run: Run, job: JobRecord) -> SignedUrl | LocalVideo:
    """Make the service able to read the version that was planned; what rules that out for good is recorded.

    Raises:
        CredentialsRefused: We cannot sign (any more), or nothing of its store: the video stays planned.
    """
    try:
        return await asyncio.to_thread(run.stores.grant_planned, job.video)
    except NotSignable as error:
        raise CredentialsRefused(error.message, hint=error.hint) from None
    except CredentialsRefused:
        raise
    except ReelrouteError as error:
        if isinstance(error, AccessDenied) and await asyncio.to_thread(_ended, run, job):
            raise CredentialsRefused(error.message, hint=error.hint) from None
        if not isinstance(error, Retryable):
            await run.move(job, JobState.FAILED, failure=failure_of("sign", error))
        raise


def _ended(run: Run, job: JobRecord) -> bool:
    """Whether nothing in the store of a video that was denied can be granted any more."""
    return denies_others(run.stores, job.video, listed(run.ledger, run.pipeline.name, run.started_at))


async def _submit_once(run: Run, job: JobRecord, grant: SignedUrl | LocalVideo, slots: Slots) -> JobRecord:
    """One attempt, whatever its end recorded before it is returned or raised."""
    facts = {"token": uuid4().hex, "service": run.service, "bound": isinstance(grant, SignedUrl) and grant.bound}
    job = await run.move(job, JobState.SUBMITTING, slots=slots, **facts)
    try:
        job_id = await run.backend.submit(grant, run.spec, run.models, LastLook(run, job))
    except ReelrouteError as error:
        to = state_after(error)
        if to is JobState.PLANNED:
            await _plan_again(run, job)
        else:
            await run.move(job, to, failure=failure_of("submit", error))
        raise
    if run.given.setdefault(job_id, job.key) != job.key:
        # Such as a gateway that gives an earlier answer again. Its results would be another video's.
        again = SubmissionUnknown(f"{job.video}: the service gave it the id of another job ({printable(job_id)})")
        await run.move(job, JobState.UNKNOWN, failure=failure_of("submit", again))
        raise again
    return await _keep_id(run, job, job_id)


@dataclass(slots=True)
class LastLook:
    """A :class:`tasks.inference.base.Permit` by the ledger: the attempt is ours, for long enough to send the request.

    Between the last check and the first byte are some microseconds. A process that is suspended in
    just these, for longer than its lease, sends what another process has called unknown: its id is
    recorded when it comes.
    """

    run: Run
    job: JobRecord
    _until_s: float = 0.0

    async def confirm(self) -> None:
        """Claim the job once more.

        Raises:
            Retryable: Another process has taken it over.
        """
        asked_s = self.run.timer()
        now = await self.run.claim(self.job.key)
        if now is None or (now.state, now.token) != (JobState.SUBMITTING, self.job.token):
            raise Retryable(f"{self.job.video}: another process took the job over before it was submitted")
        self._until_s = asked_s + self.run.lease.total_seconds() / 2
        self.check()

    def check(self) -> None:
        """See whether half of the lease is left.

        Raises:
            Retryable: It is not.
        """
        if self.run.timer() > self._until_s:
            raise Retryable(f"{self.job.video}: this process was held up for too long right before it submitted")


async def _plan_again(run: Run, job: JobRecord) -> None:
    """Make a job planned that was certainly not sent, whatever another process believes that took it over.

    Raises:
        LedgerConflict: It has gone on meanwhile, or the other is still at work on it.
    """
    now = await run.claim(job.key)
    if now is None or now.token != job.token or now.state not in (JobState.SUBMITTING, JobState.UNKNOWN):
        raise LedgerConflict(f"{job.video}: another process took the job over")
    await run.move(now, JobState.PLANNED)


async def _keep_id(run: Run, job: JobRecord, job_id: str) -> JobRecord:
    """Record the id of a job that the service took: in the ledger, or beside it if it does not take it at once.

    Raises:
        LedgerUnusable, LedgerUnavailable, LedgerConflict: As the ledger did, with the id and where it is now.
    """
    taken = TakenJob(job.key, job_id, run.service, run.clock())
    run.taken[job.key] += 1
    log.info("%s: the service has it as job %s", job.video, printable(job_id))
    recording, where = asyncio.ensure_future(_record_id(run, job, taken)), ""
    try:
        await asyncio.wait({recording}, timeout=PROMPT_S)
        if recording.done() and not recording.exception():
            return recording.result()
        # A ledger that is only slow has it a moment later: nothing to be warned of.
        where = _keep_beside(run, job, taken, logging.WARNING if recording.done() else logging.INFO)
        recorded = await recording
    except (LedgerUnusable, LedgerUnavailable, LedgerConflict) as error:
        raise type(error)(f"{error.message}; {where}", hint=error.hint) from None
    except asyncio.CancelledError:
        _keep_beside(run, job, taken)
        raise
    finally:
        recording.cancel()
    run.job_ids.remove(taken)
    return recorded


async def _record_id(run: Run, job: JobRecord, taken: TakenJob) -> JobRecord:
    """Give the ledger a job's id, however long it is out of reach, and whoever has the job by now."""
    while True:
        try:
            return await run.move(job, JobState.SUBMITTED, job_id=taken.job_id)
        except LedgerUnavailable as error:
            log.warning("%s: job %s cannot be recorded yet: %s", job.video, printable(taken.job_id), error)
            if not await run.pause(LEDGER_WAIT_S):
                raise
        except LedgerConflict:
            now = await run.claim(job.key)
            if now is None:
                raise
            after = await asyncio.to_thread(record_job_id, run.ledger, run.owner, now, taken)
            if (after.state, after.job_id) != (JobState.SUBMITTED, taken.job_id):
                raise
            return after


def _keep_beside(run: Run, job: JobRecord, taken: TakenJob, level: int = logging.WARNING) -> str:
    """Write an id down that the ledger does not have; say where it is, and loudly if that is nowhere."""
    # Not in a thread: whoever is cancelled does not come back from one. It is one line, and one sync of the disk.
    shown = printable(taken.job_id)
    try:
        place = run.job_ids.add(taken)
    except OSError as error:
        tried = f"{', '.join(map(str, run.job_ids.places))}: {error.strerror}"
        said = f"JOB {shown} AT {taken.service} WAS TAKEN AND IS RECORDED NOWHERE, note its id ({tried})"
        log.error("%s: %s", job.video, said)
    else:
        said = f"job {shown} was taken, and its id is kept in {place} for the next run"
        log.log(level, "%s: the ledger does not take its id now: %s", job.video, said)
    return said


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
    # A wrong key, an empty account or a ledger that fails says nothing about the video: it stays to be done.
    if isinstance(error, Retryable | AuthRefused | PlanRefused | LedgerUnusable):
        return JobState.PLANNED
    return JobState.FAILED


def failure_of(stage: str, error: ReelrouteError) -> Failure:
    """Write an error down as the ledger's dead-letter list keeps it."""
    return Failure(stage, error.code, error.message, error.hint)
