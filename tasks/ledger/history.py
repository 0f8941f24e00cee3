"""The story of jobs and deliveries: one row per move, only ever added; and what was said since a job's last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, exists, insert, literal, select, update

from tasks.domain.job import Failure, JobState
from tasks.ledger.base import Move
from tasks.ledger.schema import jobs, moves

JOB = "job"
Line = dict[str, object]

_ADD = insert(moves)
_STORY = select(moves).where(moves.c.job_key == bindparam("key")).order_by(moves.c.id)


def line(
    job_key: str,
    now: datetime,
    *,
    subject: str,
    before: str,
    state: str,
    owner: str = "",
    pipeline: str = "",
    detail: str = "",
) -> Line:
    """One line to tell."""
    return {
        "at": now,
        "job_key": job_key,
        "pipeline": pipeline,
        "subject": subject,
        "before": before,
        "state": state,
        "owner": owner,
        "detail": detail,
    }


def tell(connection: Connection, lines: Sequence[Line]) -> None:
    """Add lines to the story, in this order."""
    connection.execute(_ADD, lines)


def begin_stories(connection: Connection, keys: Sequence[str], pipeline: str, now: datetime) -> int:
    """Write the first line for those jobs that have none yet; return how many that were.

    One statement decides which are new and says so, so that of two who plan the same jobs at
    once each new job is counted by one.
    """
    first_lines = select(
        literal(now, moves.c.at.type),
        jobs.c.key,
        literal(pipeline, moves.c.pipeline.type),
        literal(JOB),
        literal(""),
        jobs.c.state,
        literal(""),
        literal(""),
    ).where(jobs.c.key.in_(keys), ~exists().where(moves.c.job_key == jobs.c.key))
    columns = ["at", "job_key", "pipeline", "subject", "before", "state", "owner", "detail"]
    add = insert(moves).from_select(columns, first_lines)
    return connection.execute(add, execution_options={"preserve_rowcount": True}).rowcount


def note(connection: Connection, key: str, owner: str, said: Failure | None) -> None:
    """Keep what was last said of a job at the service, if it is still there and the owner's."""
    mine = jobs.c.key == key, jobs.c.lease_owner == owner, jobs.c.state == JobState.SUBMITTED
    connection.execute(update(jobs).where(*mine).values(failure=said))


def story(connection: Connection, key: str) -> list[Move]:
    """Every line, oldest first."""
    return [
        Move(row.at, row.subject, row.state, row.detail, row.before, row.owner, row.pipeline)
        for row in connection.execute(_STORY, {"key": key})
    ]
