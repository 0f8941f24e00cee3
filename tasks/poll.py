"""Ask how jobs are, and let no answer about one of them end anything but that job.

What says nothing about a job (a fault, a page, a redirect, a refusal, an error of ours) is "not yet".
A job ends by its answer only if that answer is the service's own and can be believed:

- it is done, or has failed: at once;
- the service does not know it: said ``TIMES`` times in a row, a poll interval apart;
- its deadline has passed: once the service answers that it still runs, or after ``LATE_TIMES`` questions past
  the deadline that brought nothing. A machine that slept through it has time to find the network again.

A key that is refused ends the waiting, and not the job, when that is said ``TIMES`` times in a row and no
other job is answered meanwhile; where others are, it is a matter of that job.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from tasks.domain.errors import (
    AuthRefused,
    DeadlinePassed,
    JobFailed,
    JobUnknown,
    LedgerUnavailable,
    LedgerUnusable,
    PlanRefused,
    ReelrouteError,
    Retryable,
    Unforeseen,
)
from tasks.domain.job import Failure
from tasks.domain.video import printable
from tasks.inference.base import JobStatus
from tasks.ledger.base import JobRecord
from tasks.run import Run
from tasks.submit import failure_of

TIMES = 3
LATE_TIMES = 5
NOT_YET = JobStatus(done=False)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Doubt:
    """What questions about a job have brought since the service last said how it is.

    Attributes:
        since: When the first of them was asked.
        said: The last thing that was said.
        unknown, refused: How often in a row the service did not know the job; refused our key.
        late: Questions past the deadline.
    """

    since: datetime
    said: str = ""
    unknown: int = 0
    refused: int = 0
    late: int = 0


async def ask(run: Run, job: JobRecord) -> tuple[JobStatus, float]:
    """Ask how a job is; also returns how many seconds the service wants us to wait before the next question.

    Raises:
        JobFailed, JobUnknown, DeadlinePassed: The job has come to an end; nothing is recorded here.
        AuthRefused, PlanRefused: No question is answered any more; the job goes on.
    """
    await run.polls.turn()
    try:
        status = await run.stop.unless_asked(run.backend.check(job.job_id))
    except JobFailed:
        run.doubts.pop(job.key, None)
        raise
    except ReelrouteError as error:
        return await doubt(run, job, error)
    except Exception as error:  # one bad job never stops the rest
        log.debug("job %s", printable(job.job_id), exc_info=True)
        return await doubt(run, job, Unforeseen(f"asking for its job failed unexpectedly: {type(error).__name__}"))
    if status is None:
        return NOT_YET, 0.0
    run.answered_at = run.clock()
    if not status.done:
        run.doubts.pop(job.key, None)
        await _note(run, job, None)
        if is_overdue(run, job):
            raise _deadline_passed(run, job, "the service says that it still runs")
    return status, 0.0


async def doubt(run: Run, job: JobRecord, error: ReelrouteError) -> tuple[JobStatus, float]:
    """Take what says nothing about a job for "not yet", as long as that can be believed; returns as :func:`ask`.

    Raises:
        JobUnknown, DeadlinePassed, AuthRefused, PlanRefused: It cannot any more.
    """
    now = run.doubts.setdefault(job.key, Doubt(run.clock()))
    if error.message != now.said:
        log.warning("%s: no word of its job %s: %s", job.video, printable(job.job_id), error.message)
    now.said = error.message
    await _note(run, job, failure_of("poll", error))
    now.unknown = now.unknown + 1 if isinstance(error, JobUnknown) else 0
    now.refused = now.refused + 1 if isinstance(error, AuthRefused | PlanRefused) else 0
    alone = run.answered_at is None or run.answered_at < now.since
    if now.unknown >= TIMES or (now.refused >= TIMES and alone):
        raise error
    if is_overdue(run, job):
        now.late += 1
        if now.late >= LATE_TIMES:
            raise _deadline_passed(run, job, f"the last answer: {error.message}")
    return NOT_YET, (error.retry_after_s or 0.0) if isinstance(error, Retryable) else 0.0


async def _note(run: Run, job: JobRecord, said: Failure | None) -> None:
    """Have the ledger know what was last said of a job; writes only when that changes."""
    if run.said.get(job.key, job.failure) == said:
        return
    # It only helps people to understand; what the job's own moves meet is told by them.
    with suppress(LedgerUnavailable, LedgerUnusable):
        await asyncio.to_thread(run.ledger.note, job.key, run.owner, said)
        run.said[job.key] = said


def is_overdue(run: Run, job: JobRecord) -> bool:
    """Say whether a submitted job has had its time, by the date; ask the service before you believe it.

    A date that is set back gives a job that much longer. Set forward it makes jobs look late, which is
    why what is done is collected all the same, and what was given up is asked for again by `replay`.
    """
    return job.submitted_at is not None and run.clock() - job.submitted_at > run.pipeline.inference.deadline


def _deadline_passed(run: Run, job: JobRecord, said: str) -> DeadlinePassed:
    limit = run.pipeline.inference.deadline
    shown = printable(job.job_id)
    return DeadlinePassed(f"{job.video}: not finished {limit} after it was submitted (job {shown}); {said}")
