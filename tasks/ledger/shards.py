"""Shards and kept pipelines in SQL: plain functions within a transaction that the caller opened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, or_, select, update

from tasks.domain.job import Failure
from tasks.ledger.clock import lease_time
from tasks.ledger.database import insert_new
from tasks.ledger.redaction import clean_failure
from tasks.ledger.schema import kept_pipelines, shard_jobs, shards
from tasks.ledger.shard_base import ShardNotes, ShardRecord


def add_shards(
    connection: Connection, pipeline: str, batch: str, parts: Sequence[Sequence[str]], spare: str, now: datetime
) -> list[str]:
    """Write shards down; what is there already stays."""
    ids = [f"{batch}-{number:04}" for number in range(1, len(parts) + 1)]
    for number, (name, keys) in enumerate(zip(ids, parts, strict=True)):
        row = {"id": name, "batch": batch, "pipeline": pipeline, "number": number, "spare": spare, "done": 0}
        row |= {"notes": None, "began_at": now, "lease_owner": "", "lease_until": None, "updated_at": now}
        connection.execute(insert_new(connection, shards).on_conflict_do_nothing(), row)
        listed = [{"shard": name, "number": place, "job_key": key} for place, key in enumerate(keys)]
        if listed:
            connection.execute(insert_new(connection, shard_jobs).on_conflict_do_nothing(), listed)
    return ids


def read_shard(connection: Connection, shard: str) -> ShardRecord | None:
    """One shard with its jobs."""
    row = connection.execute(select(shards).where(shards.c.id == shard)).first()
    return None if row is None else _record(row, _jobs(connection, shard))


def claim_shard(
    connection: Connection, batch: str, owner: str, lease: timedelta, now: datetime, first: str, only: bool
) -> ShardRecord | None:
    """Lock a free row that nobody else is about to take, and make it the owner's."""
    at = lease_time(connection, now)
    free = or_(shards.c.lease_owner.in_(["", owner]), shards.c.lease_until <= at)
    query = select(shards).where(shards.c.batch == batch, shards.c.done == 0, free)
    if only:
        query = query.where(shards.c.id == first)
    query = query.order_by(case((shards.c.id == first, 0), else_=1), shards.c.number).limit(1)
    row = connection.execute(query.with_for_update(skip_locked=not only)).first()
    if row is None:
        return None
    until = at + lease
    connection.execute(
        update(shards).where(shards.c.id == row.id).values(lease_owner=owner, lease_until=until, updated_at=now)
    )
    taken = read_shard(connection, row.id)
    assert taken is not None  # noqa: S101 (we hold its row)
    return taken


def finish_shard(connection: Connection, shard: str, owner: str, notes: ShardNotes, now: datetime) -> bool:
    """Mark it done."""
    mine = update(shards).where(shards.c.id == shard, shards.c.lease_owner == owner, shards.c.done == 0)
    ended = mine.values(done=1, notes=_notes_to_text(notes), lease_owner="", lease_until=None, updated_at=now)
    return bool(connection.execute(ended).rowcount)


def find_finished_shard(connection: Connection, shard: str, notes: ShardNotes, now: datetime) -> bool | None:
    """True if it was marked done just so, by a commit whose answer was lost; else None."""
    row = connection.execute(select(shards).where(shards.c.id == shard)).first()
    same = row is not None and (row.done, row.notes, row.updated_at) == (1, _notes_to_text(notes), now)
    return True if same else None


def release_shard(connection: Connection, shard: str, owner: str) -> None:
    """Give the lease back if it is the owner's."""
    mine = update(shards).where(shards.c.id == shard, shards.c.lease_owner == owner)
    connection.execute(mine.values(lease_owner="", lease_until=None))


def read_batch(connection: Connection, batch: str) -> list[ShardRecord]:
    """The shards of a batch, without their jobs."""
    rows = connection.execute(select(shards).where(shards.c.batch == batch).order_by(shards.c.number))
    return [_record(row, ()) for row in rows]


def keep_pipeline(connection: Connection, name: str, text: str, now: datetime) -> None:
    """Insert or overwrite."""
    new = insert_new(connection, kept_pipelines)
    values = {"text": new.excluded.text, "kept_at": new.excluded.kept_at}
    connection.execute(
        new.on_conflict_do_update(index_elements=["name"], set_=values), {"name": name, "text": text, "kept_at": now}
    )


def kept_pipeline(connection: Connection, name: str) -> str | None:
    """The text, or None."""
    text: str | None = connection.execute(select(kept_pipelines.c.text).where(kept_pipelines.c.name == name)).scalar()
    return text


def _jobs(connection: Connection, shard: str) -> tuple[str, ...]:
    query = select(shard_jobs.c.job_key).where(shard_jobs.c.shard == shard).order_by(shard_jobs.c.number)
    return tuple(connection.execute(query).scalars())


def _record(row: Row[Any], jobs: tuple[str, ...]) -> ShardRecord:
    return ShardRecord(
        id=row.id,
        batch=row.batch,
        pipeline=row.pipeline,
        jobs=jobs,
        began_at=row.began_at,
        spare=json.loads(row.spare),
        done=bool(row.done),
        notes=_notes_from_text(row.notes) if row.notes else None,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
    )


def _notes_to_text(notes: ShardNotes) -> str:
    passing = {key: asdict(clean_failure(failure) or failure) for key, failure in notes.passing.items()}
    stopped = clean_failure(notes.stopped)
    said = {"passing": passing, "warnings": notes.warnings, "stopped": stopped and asdict(stopped)}
    return json.dumps(said | {"left_out": notes.left_out})


def _notes_from_text(text: str) -> ShardNotes:
    data = json.loads(text)
    return ShardNotes(
        passing={key: Failure(**failure) for key, failure in data["passing"].items()},
        warnings=tuple(data["warnings"]),
        stopped=Failure(**data["stopped"]) if data["stopped"] else None,
        left_out=data.get("left_out", {}),
    )
