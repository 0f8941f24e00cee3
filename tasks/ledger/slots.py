"""How many jobs are open at a service, and which of them are copies, counted where everybody looks: in the ledger.

Functions within a transaction that the caller opened.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, func, or_, select

from tasks.domain.errors import CopyAhead, SlotsFull
from tasks.domain.job import InferenceSpec, JobState
from tasks.domain.wording import count_of
from tasks.ledger.base import JobRecord, Slots
from tasks.ledger.clock import lease_time
from tasks.ledger.database import keep_others_out
from tasks.ledger.schema import jobs, videos

# A submission whose process died holds its slot until its lease ends, and a job that nobody
# collects until its deadline has passed.
_IS_OPEN: ColumnElement[bool] = or_(
    and_(jobs.c.state == JobState.SUBMITTING, jobs.c.lease_until > bindparam("now")),
    and_(jobs.c.state == JobState.SUBMITTED, jobs.c.submitted_at > bindparam("since")),
)
_OPEN = select(func.count()).where(jobs.c.service == bindparam("service"), _IS_OPEN)
_HAS_RESULTS = and_(jobs.c.state == JobState.SUCCEEDED, jobs.c.result_key != "")
_COPY = (
    select(jobs.c.key)
    .join(videos, videos.c.key == jobs.c.video_key)
    .where(
        videos.c.content == bindparam("content"),
        videos.c.size == bindparam("size"),
        jobs.c.spec == bindparam("spec"),
        jobs.c.key != bindparam("but"),
        or_(_HAS_RESULTS, _IS_OPEN),
    )
    .order_by(case((_HAS_RESULTS, 0), else_=1), jobs.c.id)
    .limit(1)
)


def take_slot(connection: Connection, job: JobRecord, slots: Slots, now: datetime) -> None:
    """Let a job be one more that is open at its service, until the transaction ends.

    Raises:
        CopyAhead: It would be the second of its content.
        SlotsFull: There are as many as may be.
    """
    # Whoever counts next sees what we are about to write: counting and writing are one.
    if slots.once_per_content and job.content:
        keep_others_out(connection, f"content {job.content}")
        what = job.content, job.video.size, job.spec
        if find_copy(connection, *what, now, deadline=slots.deadline, but=job.key) is not None:
            raise CopyAhead(f"{job.video}: a copy of it was submitted before")
    keep_others_out(connection, f"slots of {job.service}")
    asked = {"service": job.service, "now": lease_time(connection, now), "since": now - slots.deadline}
    taken = connection.execute(_OPEN, asked).scalar_one()
    if taken >= slots.limit:
        raise SlotsFull(
            f"{count_of(taken, 'job is', 'jobs are')} open at {job.service}, and max_in_flight is {slots.limit}"
        )


def find_copy(
    connection: Connection,
    content: str,
    size: int,
    spec: InferenceSpec,
    now: datetime,
    *,
    deadline: timedelta,
    but: str,
) -> str | None:
    """Key of a job of the same content under the same spec that has results or, failing that, is open."""
    if not content:
        return None
    asked = {"content": content, "size": size, "spec": spec, "but": but}
    asked |= {"now": lease_time(connection, now), "since": now - deadline}
    key: str | None = connection.execute(_COPY, asked).scalar()
    return key
