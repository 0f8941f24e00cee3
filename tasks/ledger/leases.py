"""Who holds what, and giving back what the dead held. Functions within a transaction that the caller opened."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select, union, update

from tasks.ledger.clock import lease_time
from tasks.ledger.deliveries import give_back
from tasks.ledger.schema import deliveries, jobs, shards

# Larger than "" instead of different from it: so the index leads to the few rows that are held.
_OWNERS = union(
    select(jobs.c.lease_owner).where(jobs.c.lease_owner > ""),
    select(deliveries.c.lease_owner).where(deliveries.c.lease_owner > ""),
    select(shards.c.lease_owner).where(shards.c.lease_owner > ""),
)
_RENEW = update(jobs).where(jobs.c.lease_owner == bindparam("by")).values(lease_until=bindparam("until"))


def renew(connection: Connection, owner: str, lease: timedelta, now: datetime) -> int:
    """Prolong every lease of a job that the owner holds; return how many."""
    return connection.execute(_RENEW, {"by": owner, "until": lease_time(connection, now) + lease}).rowcount


def owners(connection: Connection) -> set[str]:
    """Everybody who is named in a lease."""
    return set(connection.execute(_OWNERS).scalars())


def abandon(connection: Connection, owner: str, now: datetime) -> int:
    """Give back every lease of an owner that is gone; return how many."""
    # A row that somebody has locked is being taken over, or given back by a run that started with
    # us: it is left to them, so that nobody waits and nobody waits in a circle.
    theirs = select(jobs.c.id).where(jobs.c.lease_owner == owner).with_for_update(skip_locked=True, key_share=True)
    held = connection.execute(theirs).scalars().all()
    if held:
        connection.execute(update(jobs).where(jobs.c.id.in_(held)).values(lease_owner="", lease_until=None))
    shared = connection.execute(
        update(shards).where(shards.c.lease_owner == owner).values(lease_owner="", lease_until=None)
    )
    return len(held) + shared.rowcount + give_back(connection, owner, now)
