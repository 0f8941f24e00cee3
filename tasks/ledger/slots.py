"""How many jobs are open at a service, counted where everybody looks: in the ledger.

A function within a transaction that the caller opened.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from tasks.domain.errors import SlotsFull
from tasks.domain.job import JobState
from tasks.ledger.base import Slots
from tasks.ledger.database import keep_others_out
from tasks.ledger.schema import jobs

# A submission whose process died holds its slot until its lease ends, and a job that nobody
# collects until its deadline has passed.
_OPEN = select(func.count()).where(
    jobs.c.service == bindparam("service"),
    or_(
        and_(jobs.c.state == JobState.SUBMITTING, jobs.c.lease_until > bindparam("now")),
        and_(jobs.c.state == JobState.SUBMITTED, jobs.c.submitted_at > bindparam("since")),
    ),
)


def take_slot(connection: Connection, service: str, slots: Slots, now: datetime) -> None:
    """Let the caller's job be one more that is open at ``service``, until the transaction ends.

    Raises:
        SlotsFull: There are as many as may be.
    """
    # Whoever counts next sees what we are about to write: counting and writing are one.
    keep_others_out(connection, f"slots of {service}")
    taken = connection.execute(_OPEN, {"service": service, "now": now, "since": now - slots.deadline}).scalar_one()
    if taken >= slots.limit:
        raise SlotsFull(f"{taken} jobs are open at {service}, and max_in_flight is {slots.limit}")
