"""Deliveries in SQL. Plain functions within a transaction that the caller opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, insert, or_, select, update

from tasks.domain.errors import LedgerConflict
from tasks.domain.job import DELIVERY_MOVES, DeliveryState, Failure, JobState
from tasks.domain.video import printable
from tasks.ledger.base import DeliveryRecord
from tasks.ledger.clock import lease_time
from tasks.ledger.database import is_any_of
from tasks.ledger.history import Line, line, tell
from tasks.ledger.jobs import lock_job
from tasks.ledger.redaction import clean_failure, clean_output
from tasks.ledger.schema import deliveries, jobs, pipeline_jobs

_COLUMNS = tuple(column.name for column in deliveries.c if column.name != "id")
_ADD = insert(deliveries)
# What may change after a delivery was planned; always all of them, so that the statement is always the same.
_CHANGED = ("fingerprint", "state", "attempts", "outputs", "failure", "lease_owner", "lease_until", "updated_at")
_SAVE = (
    update(deliveries)
    .where(
        deliveries.c.job_key == bindparam("of_job"),
        deliveries.c.pipeline == bindparam("of_pipeline"),
        deliveries.c.route == bindparam("of_route"),
    )
    .values({name: bindparam(name) for name in _CHANGED})
)
_OF_JOB = (
    select(deliveries)
    .where(deliveries.c.job_key == bindparam("of_job"), deliveries.c.pipeline == bindparam("of_pipeline"))
    .with_for_update()
)


def plan_routes(
    connection: Connection, pipeline: str, job_key: str, routes: dict[str, str], now: datetime
) -> list[DeliveryRecord]:
    """Ensure a delivery per route; return those not delivered yet, in the order of ``routes``."""
    lock_job(connection, job_key)  # two who plan the same deliveries come one after the other
    known = _of_job(connection, pipeline, job_key)
    new = {route: _new(pipeline, job_key, route, routes[route], now) for route in routes if route not in known}
    if new:
        rows = [{name: getattr(delivery, name) for name in _COLUMNS} for delivery in new.values()]
        connection.execute(_ADD, rows)
        tell(connection, [_line(None, delivery, now) for delivery in new.values()])
    found = [_replanned(connection, (known | new)[route], fingerprint, now) for route, fingerprint in routes.items()]
    return [delivery for delivery in found if delivery.state is not DeliveryState.DELIVERED]


def _new(pipeline: str, job_key: str, route: str, fingerprint: str, now: datetime) -> DeliveryRecord:
    return DeliveryRecord(
        pipeline=pipeline,
        job_key=job_key,
        route=route,
        fingerprint=fingerprint,
        state=DeliveryState.PENDING,
        attempts=0,
        outputs=(),
        failure=None,
        lease_owner="",
        lease_until=None,
        updated_at=now,
    )


def _replanned(connection: Connection, delivery: DeliveryRecord, fingerprint: str, now: datetime) -> DeliveryRecord:
    """The delivery under the route's settings as they are now."""
    if delivery.fingerprint == fingerprint or _is_under_way(delivery, lease_time(connection, now)):
        return delivery
    if delivery.state is DeliveryState.PENDING:
        return _save(connection, replace(delivery, fingerprint=fingerprint))
    return _back_to_pending(connection, delivery, now, fingerprint=fingerprint, detail="the route has changed")


def read_page(
    connection: Connection,
    after: int,
    size: int,
    *,
    pipeline: str | None,
    states: Sequence[DeliveryState],
    job_key: str,
) -> tuple[list[DeliveryRecord], int]:
    """The next deliveries behind position ``after``, and the position of the last of them."""
    query = select(deliveries).where(deliveries.c.id > after).order_by(deliveries.c.id).limit(size)
    if pipeline is not None:
        query = query.where(deliveries.c.pipeline == pipeline)
    if states:
        query = query.where(is_any_of(deliveries.c.state, states))
    if job_key:
        query = query.where(deliveries.c.job_key == job_key)
    rows = connection.execute(query).all()
    return [_record(row) for row in rows], rows[-1].id if rows else after


def undelivered_page(
    connection: Connection, after: int, size: int, *, pipeline: str, routes: Mapping[str, str], seen_since: datetime
) -> tuple[list[str], int]:
    """Keys of the next succeeded jobs that a route lacks, and the position of the last of them."""
    is_wanted = [and_(deliveries.c.route == name, deliveries.c.fingerprint == now) for name, now in routes.items()]
    ended = (
        select(func.count())
        .where(deliveries.c.job_key == jobs.c.key, deliveries.c.pipeline == pipeline, or_(*is_wanted))
        .where(deliveries.c.state.in_([DeliveryState.DELIVERED, DeliveryState.FAILED]))
        .scalar_subquery()
    )
    query = (
        select(jobs.c.key, jobs.c.id)
        .join(pipeline_jobs, pipeline_jobs.c.job_key == jobs.c.key)
        .where(pipeline_jobs.c.pipeline == pipeline, pipeline_jobs.c.seen_at >= seen_since)
        .where(jobs.c.state == JobState.SUCCEEDED, ended < len(routes), jobs.c.id > after)
    )
    rows = connection.execute(query.order_by(jobs.c.id).limit(size)).all()
    return [row.key for row in rows], rows[-1].id if rows else after


def claim_route(
    connection: Connection, pipeline: str, job_key: str, route: str, owner: str, lease: timedelta, now: datetime
) -> DeliveryRecord | None:
    """Begin a delivery, take over a dead one, or renew ours; None if there is nothing to do."""
    before = _of_job(connection, pipeline, job_key).get(route)
    if before is None or before.state in (DeliveryState.DELIVERED, DeliveryState.FAILED):
        return None
    at = lease_time(connection, now)
    claimed = replace(before, state=DeliveryState.DELIVERING, lease_owner=owner, lease_until=at + lease)
    if _is_under_way(before, at):
        return _save(connection, claimed) if before.lease_owner == owner else None
    after = _save(connection, replace(claimed, attempts=before.attempts + 1, updated_at=now))
    detail = f"attempt {after.attempts}"
    if before.lease_owner:
        detail += f", taken over from {before.lease_owner}"
    tell(connection, [_line(before, after, now, detail)])
    return after


def finish_route(
    connection: Connection,
    pipeline: str,
    job_key: str,
    route: str,
    owner: str,
    to: DeliveryState,
    now: datetime,
    *,
    outputs: Sequence[str],
    failure: Failure | None,
) -> bool:
    """End a delivery of ours; True says that it is done."""
    if to not in DELIVERY_MOVES[DeliveryState.DELIVERING]:
        raise ValueError(f"a delivery never moves from {DeliveryState.DELIVERING} to {to}")
    before = _of_job(connection, pipeline, job_key).get(route)
    named = f"delivery of job {printable(job_key)} to {printable(route)} of {printable(pipeline)}"
    if before is None:
        raise LedgerConflict(f"the ledger has no {named}")
    if before.state is not DeliveryState.DELIVERING:
        raise LedgerConflict(f"the {named} is {before.state}, not {DeliveryState.DELIVERING}: it cannot become {to}")
    if before.lease_owner != owner:
        raise LedgerConflict(
            f"the {named} is {before.state} by {printable(before.lease_owner)!r}, not by {printable(owner)!r}: "
            f"it cannot become {to}"
        )
    after = replace(
        before,
        state=to,
        outputs=tuple(clean_output(uri) for uri in outputs),
        failure=clean_failure(failure),
        lease_owner="",
        lease_until=None,
        updated_at=now,
    )
    _save(connection, after)
    detail = f"{after.failure.stage}: {after.failure.code}" if after.failure else ", ".join(after.outputs[:1])
    tell(connection, [_line(before, after, now, detail, owner)])
    return True


def reset_route(connection: Connection, pipeline: str, job_key: str, route: str, now: datetime) -> bool:
    """Put an ended delivery back to pending."""
    delivery = _of_job(connection, pipeline, job_key).get(route)
    if delivery is None or delivery.state not in (DeliveryState.DELIVERED, DeliveryState.FAILED):
        return False
    _back_to_pending(connection, delivery, now, detail="asked for")
    return True


def find_finished(
    connection: Connection,
    pipeline: str,
    job_key: str,
    route: str,
    to: DeliveryState,
    now: datetime,
    *,
    outputs: Sequence[str],
    failure: Failure | None,
) -> bool | None:
    """True if exactly this end of the delivery is the last thing that was recorded of it, else None."""
    delivery = _of_job(connection, pipeline, job_key).get(route)
    end = (to, now, tuple(clean_output(uri) for uri in outputs), clean_failure(failure), "")
    found = delivery and (
        delivery.state, delivery.updated_at, delivery.outputs, delivery.failure, delivery.lease_owner
    )  # fmt: skip
    return True if found == end else None


def find_reset(connection: Connection, pipeline: str, job_key: str, route: str, now: datetime) -> bool | None:
    """True if the delivery was put back to pending exactly then, else None."""
    delivery = _of_job(connection, pipeline, job_key).get(route)
    is_reset = delivery is not None and (delivery.state, delivery.updated_at) == (DeliveryState.PENDING, now)
    return True if is_reset else None


def give_back(connection: Connection, owner: str, now: datetime) -> int:
    """Put what an owner that is gone left half made back to pending; return how many that were."""
    theirs = select(deliveries).where(deliveries.c.lease_owner == owner).with_for_update(skip_locked=True)
    held = [_record(row) for row in connection.execute(theirs)]
    for delivery in held:
        _back_to_pending(connection, delivery, now, detail=f"{owner} is gone")
    return len(held)


def count_deliveries(connection: Connection, pipeline: str | None) -> dict[str, dict[DeliveryState, int]]:
    """Deliveries by route and state."""
    query = select(deliveries.c.route, deliveries.c.state, func.count().label("number")).group_by(
        deliveries.c.route, deliveries.c.state
    )
    if pipeline is not None:
        query = query.where(deliveries.c.pipeline == pipeline)
    counts: dict[str, dict[DeliveryState, int]] = {}
    for row in connection.execute(query.order_by(deliveries.c.route)):
        counts.setdefault(row.route, dict.fromkeys(DeliveryState, 0))[row.state] = row.number
    return counts


def _is_under_way(delivery: DeliveryRecord, at: datetime) -> bool:
    is_held = delivery.lease_until is not None and at < delivery.lease_until
    return delivery.state is DeliveryState.DELIVERING and is_held


def _back_to_pending(
    connection: Connection, before: DeliveryRecord, now: datetime, *, detail: str, fingerprint: str | None = None
) -> DeliveryRecord:
    after = replace(
        before,
        fingerprint=before.fingerprint if fingerprint is None else fingerprint,
        state=DeliveryState.PENDING,
        outputs=(),
        failure=None,
        lease_owner="",
        lease_until=None,
        updated_at=now,
    )
    _save(connection, after)
    tell(connection, [_line(before, after, now, detail)])
    return after


def _of_job(connection: Connection, pipeline: str, job_key: str) -> dict[str, DeliveryRecord]:
    rows = connection.execute(_OF_JOB, {"of_job": job_key, "of_pipeline": pipeline})
    return {row.route: _record(row) for row in rows}


def _save(connection: Connection, delivery: DeliveryRecord) -> DeliveryRecord:
    this = {"of_job": delivery.job_key, "of_pipeline": delivery.pipeline, "of_route": delivery.route}
    values = {name: getattr(delivery, name) for name in _CHANGED}
    connection.execute(_SAVE, {**this, **values})
    return delivery


def _line(
    before: DeliveryRecord | None, after: DeliveryRecord, now: datetime, detail: str = "", owner: str = ""
) -> Line:
    return line(
        after.job_key,
        now,
        subject=after.route,
        before=before.state.value if before else "",
        state=after.state.value,
        owner=owner or after.lease_owner,
        pipeline=after.pipeline,
        detail=detail,
    )


def _record(row: Row[Any]) -> DeliveryRecord:
    return DeliveryRecord(
        pipeline=row.pipeline,
        job_key=row.job_key,
        route=row.route,
        fingerprint=row.fingerprint,
        state=row.state,
        attempts=row.attempts,
        outputs=row.outputs,
        failure=row.failure,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
        updated_at=row.updated_at,
    )
