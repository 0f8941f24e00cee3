"""What was submitted for whom, and when: counted where everybody looks. Functions within the caller's transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from tasks.domain.budget import Spent, Submission
from tasks.domain.errors import BudgetSpent
from tasks.ledger.base import JobRecord
from tasks.ledger.database import keep_others_out
from tasks.ledger.schema import submissions


def note(connection: Connection, job: JobRecord, pipeline: str, submission: Submission, now: datetime) -> None:
    """Count an attempt that is about to be made.

    Raises:
        BudgetSpent: With it, more would be spent in the period than may be.
    """
    costs = submission.costs
    if submission.since is not None:
        # Whoever counts next sees what we are about to write: counting and writing are one.
        keep_others_out(connection, f"budget of {pipeline}")
        after = spent(connection, pipeline, submission.since).plus(costs)
        if reason := submission.limits.exceeded_by(after):
            raise BudgetSpent(reason)
    row = {"job_key": job.key, "attempt": job.attempts, "pipeline": pipeline, "at": now}
    connection.execute(insert(submissions), {**row, "frames": costs.frames, "minutes": costs.minutes})


def forget(connection: Connection, job: JobRecord) -> None:
    """The service did not take the attempt."""
    connection.execute(
        delete(submissions).where(submissions.c.job_key == job.key, submissions.c.attempt == job.attempts)
    )


def spent(connection: Connection, pipeline: str, since: datetime) -> Spent:
    """What a pipeline has submitted since a time."""
    total = func.coalesce(func.sum(submissions.c.frames), 0), func.coalesce(func.sum(submissions.c.minutes), 0.0)
    query = select(func.count(), *total).where(submissions.c.pipeline == pipeline, submissions.c.at >= since)
    videos, frames, minutes = connection.execute(query).one()
    return Spent(videos, int(frames), float(minutes))
