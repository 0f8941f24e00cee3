"""Batches of the inbox in SQL: form, start, claim, end. Functions within a transaction that the caller opened."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, insert, literal, select, update

from tasks.domain.errors import LedgerConflict
from tasks.ledger.clock import lease_time
from tasks.ledger.columns import TIME
from tasks.ledger.inbox import Batch, BatchState, Upload
from tasks.ledger.schema import batches, uploads
from tasks.ledger.uploads import DONE, TAKEN, WAITING, is_due

# An upload that was given back waits so long, and twice as long each time, up to the longest.
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)


def form(connection: Connection, pipeline: str, owner: str, lease: timedelta, now: datetime, most: int) -> Batch | None:
    """Take the oldest uploads that are due into a new batch."""
    due = (
        select(uploads.c.id)
        .where(uploads.c.state == WAITING, uploads.c.pipeline == pipeline, is_due(now))
        .order_by(uploads.c.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    chosen = connection.execute(due).scalars().all()
    if not chosen:
        return None
    batch = Batch(
        uuid.uuid4().hex, pipeline, BatchState.FORMED, len(chosen), "", owner, lease_time(connection, now) + lease
    )
    connection.execute(
        insert(batches).values(
            id=batch.id,
            pipeline=pipeline,
            state=batch.state.value,
            size=batch.size,
            run="",
            lease_owner=owner,
            lease_until=batch.lease_until,
            formed_at=now,
            updated_at=now,
        )
    )
    take = update(uploads).where(uploads.c.id == bindparam("this"))
    take = take.values(state=TAKEN, batch=batch.id, attempts=uploads.c.attempts + 1, updated_at=now)
    connection.execute(take, [{"this": number} for number in chosen])
    return batch


def in_states(connection: Connection, states: Sequence[BatchState]) -> list[Batch]:
    """Batches in some states, oldest first."""
    query = select(batches).where(batches.c.state.in_([state.value for state in states]))
    return [_batch(row) for row in connection.execute(query.order_by(batches.c.formed_at))]


def hold(connection: Connection, batch: str, owner: str, lease: timedelta, now: datetime) -> bool:
    """Take over a formed batch."""
    found, at = _locked(connection, batch), lease_time(connection, now)
    if found is None or found.state is not BatchState.FORMED or not _is_free(found, owner, at):
        return False
    _change(connection, batch, now, lease_owner=owner, lease_until=at + lease)
    return True


def start(connection: Connection, batch: str, run: str, lease: timedelta, now: datetime) -> None:
    """Record that the run exists."""
    found = _locked(connection, batch)
    if found is None or found.state is BatchState.ENDED:
        return
    if found.state is BatchState.RUNNING:  # it was quicker than we
        _change(connection, batch, now, run=run)
        return
    until = lease_time(connection, now) + lease
    _change(connection, batch, now, state=BatchState.STARTED, run=run, lease_owner="", lease_until=until)


def claim(connection: Connection, batch: str, owner: str, lease: timedelta, now: datetime) -> list[Upload] | None:
    """Take or renew a batch as its run."""
    found = _locked(connection, batch)
    if found is None or found.state is BatchState.ENDED:
        return None
    at = lease_time(connection, now)
    if found.state is BatchState.RUNNING and not _is_free(found, owner, at):
        return None
    _change(connection, batch, now, state=BatchState.RUNNING, lease_owner=owner, lease_until=at + lease)
    query = select(uploads).where(uploads.c.batch == batch, uploads.c.state == TAKEN).order_by(uploads.c.id)
    return [
        Upload(row.key, row.uri, row.version, row.size, row.received_at, row.attempts)
        for row in connection.execute(query)
    ]


def finish(connection: Connection, batch: str, owner: str, outcomes: Mapping[str, str], now: datetime) -> int:
    """End a batch that is ours."""
    found = _locked(connection, batch)
    if found is None or found.state is not BatchState.RUNNING or found.lease_owner != owner:
        raise LedgerConflict(f"the batch {batch} is not ours any more: another run sees to its uploads")
    done = update(uploads).where(uploads.c.key == bindparam("this"), uploads.c.batch == batch)
    done = done.values(state=DONE, outcome=bindparam("became"), updated_at=now)
    if outcomes:
        connection.execute(done, [{"this": key, "became": outcome} for key, outcome in outcomes.items()])
    return _end(connection, batch, now)


def was_finished(connection: Connection, batch: str, outcomes: Mapping[str, str]) -> int | None:
    """How many of the batch's uploads wait again, if it has ended with these outcomes; else None."""
    found = _locked(connection, batch)
    if found is None or found.state is not BatchState.ENDED:
        return None
    query = select(func.count()).where(uploads.c.batch == batch, uploads.c.state == DONE)
    done = connection.execute(query).scalar_one()
    return found.size - done if done == len(outcomes) else None


def give_back(connection: Connection, batch: str, seen: Batch, now: datetime) -> bool:
    """End a batch whose run died, if it is as it was seen."""
    if _locked(connection, batch) != seen or seen.state is BatchState.ENDED:
        return False
    _end(connection, batch, now)
    return True


def _end(connection: Connection, batch: str, now: datetime) -> int:
    """End a batch; what is not done in it waits again, the longer the more often it was tried."""
    left = uploads.c.batch == batch, uploads.c.state == TAKEN
    most = connection.execute(select(func.max(uploads.c.attempts)).where(*left)).scalar() or 0
    # One statement, whatever the number of tries: a wait for each.
    waits = {n: literal(now + min(FIRST_WAIT * 2 ** (n - 1), LONGEST_WAIT), TIME) for n in range(1, min(most, 8) + 1)}
    due = case(waits, value=uploads.c.attempts, else_=literal(now + LONGEST_WAIT, TIME)) if waits else now
    again = update(uploads).where(*left).values(state=WAITING, batch="", due_at=due, updated_at=now)
    returned = connection.execute(again).rowcount
    _change(connection, batch, now, state=BatchState.ENDED, lease_owner="")
    return returned


def _is_free(batch: Batch, owner: str, at: datetime) -> bool:
    return batch.lease_owner in ("", owner) or batch.lease_until <= at


def _locked(connection: Connection, batch: str) -> Batch | None:
    row = connection.execute(select(batches).where(batches.c.id == batch).with_for_update()).first()
    return None if row is None else _batch(row)


def _change(connection: Connection, batch: str, now: datetime, **values: Any) -> None:
    if "state" in values:
        values["state"] = values["state"].value
    connection.execute(update(batches).where(batches.c.id == batch).values(updated_at=now, **values))


def _batch(row: Row[Any]) -> Batch:
    return Batch(row.id, row.pipeline, BatchState(row.state), row.size, row.run, row.lease_owner, row.lease_until)
