"""By which clock leases go: the database's own, where it has one.

Callers say what time it is by the clock of their machine, and that is what is recorded. A lease is
different: one machine writes when it ends and another reads it, and three minutes between their clocks
would be enough to take a living process's job away.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select

# Clocks that are kept by NTP agree much better, and leases last two minutes at least.
SAME_CLOCK = timedelta(seconds=5)
_NOW = select(func.clock_timestamp())


def wall_clock() -> datetime:
    """What this machine takes for the time."""
    return datetime.now(UTC)


def lease_time(connection: Connection, now: datetime) -> datetime:
    """What ``now``, by the clock of our machine, is by the clock that leases go by.

    PostgreSQL has a clock of its own. SQLite has none: its processes are on one machine, whose clock
    all of them read.
    """
    if connection.dialect.name != "postgresql":
        return now
    asked = wall_clock()
    theirs: datetime = connection.execute(_NOW).scalar_one()
    ahead = theirs - asked - (wall_clock() - asked) / 2
    return now + ahead if abs(ahead) > SAME_CLOCK else now
