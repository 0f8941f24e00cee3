"""Uploads of the inbox in SQL: put, count, forget. Functions within a transaction that the caller opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from tasks.domain.upload import UploadEvent, is_later, upload_key
from tasks.ledger.database import keep_others_out
from tasks.ledger.inbox import BatchState, Received, UploadRecord, Waiting
from tasks.ledger.schema import batches, uploads

WAITING, TAKEN, DONE = "waiting", "taken", "done"
# Names in one query: SQLite takes 32,766.
_AT_ONCE = 500

Put = tuple[str, UploadEvent]


def put_all(connection: Connection, events: Sequence[Put], now: datetime) -> list[Received]:
    """Record those that are new; say what became of each."""
    # Whoever tells us of the same object at the same time waits: comparing and writing are one.
    keep_others_out(connection, "inbox")
    known = _known(connection, {object_key(pipeline, event.uri) for pipeline, event in events})
    answers: list[Received] = []
    fresh: list[dict[str, Any]] = []
    for pipeline, event in events:
        versions = known.setdefault(object_key(pipeline, event.uri), {})
        key = upload_key(pipeline, event.uri, event.version)
        if key in versions:
            answers.append(_told_again(connection, versions[key], event, now))
            continue
        row = _row(pipeline, event, key, now)
        if any(is_later(other["sequencer"], event.sequencer) for other in versions.values()):
            row |= {"state": DONE, "outcome": Received.SUPERSEDED.value}
        else:
            _supersede(connection, versions.values(), event, now)
        versions[key] = row
        fresh.append(row)
        answers.append(Received.NEW if row["state"] == WAITING else Received.SUPERSEDED)
    if fresh:
        connection.execute(insert(uploads), fresh)
    return answers


def object_key(pipeline: str, uri: str) -> str:
    """Name an object as one pipeline sees it, whichever version: 32 hex digits."""
    return hashlib.sha256(json.dumps([pipeline, uri]).encode()).hexdigest()[:32]


def _known(connection: Connection, objects: Iterable[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Object -> key -> its row, of every version that is here."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    wanted = sorted(objects)
    for start in range(0, len(wanted), _AT_ONCE):
        query = select(uploads).where(uploads.c.object_key.in_(wanted[start : start + _AT_ONCE]))
        for row in connection.execute(query).mappings():
            found.setdefault(row["object_key"], {})[row["key"]] = dict(row)
    return found


def _told_again(connection: Connection, row: dict[str, Any], event: UploadEvent, now: datetime) -> Received:
    """The same version again: nothing, unless it was written anew after we had seen to it."""
    if not is_later(event.sequencer, row["sequencer"]):
        return Received.DUPLICATE
    again = row["state"] == DONE
    changes: dict[str, Any] = {"sequencer": event.sequencer, "updated_at": now}
    if again:
        changes |= {"state": WAITING, "batch": "", "attempts": 0, "outcome": "", "received_at": now, "due_at": now}
    row |= changes
    if "id" in row:  # else it is about to be written
        connection.execute(update(uploads).where(uploads.c.key == row["key"]).values(changes))
    return Received.NEW if again else Received.DUPLICATE


def _supersede(connection: Connection, versions: Iterable[dict[str, Any]], event: UploadEvent, now: datetime) -> None:
    """Let older versions that still wait not be seen to: nobody could read them any more."""
    for row in versions:
        if row["state"] == WAITING and is_later(event.sequencer, row["sequencer"]):
            changes = {"state": DONE, "outcome": Received.SUPERSEDED.value, "updated_at": now}
            row.update(changes)
            if "id" in row:
                connection.execute(update(uploads).where(uploads.c.key == row["key"]).values(changes))


def _row(pipeline: str, event: UploadEvent, key: str, now: datetime) -> dict[str, Any]:
    return {
        "key": key,
        "object_key": object_key(pipeline, event.uri),
        "pipeline": pipeline,
        "uri": event.uri,
        "version": event.version,
        "size": event.size,
        "sequencer": event.sequencer,
        "state": WAITING,
        "batch": "",
        "attempts": 0,
        "outcome": "",
        "received_at": now,
        "due_at": now,
        "updated_at": now,
    }


def is_due(now: datetime) -> ColumnElement[bool]:
    """Whether an upload need not wait (any longer); one from the future does not: the clock was set back since."""
    return or_(uploads.c.due_at <= now, uploads.c.received_at > now)


def waiting(connection: Connection, now: datetime) -> dict[str, Waiting]:
    """By pipeline, what waits and is due."""
    when = uploads.c.received_at
    query = (
        select(uploads.c.pipeline, func.count().label("number"), func.min(when), func.max(when))
        .where(uploads.c.state == WAITING, is_due(now))
        .group_by(uploads.c.pipeline)
    )
    return {name: Waiting(number, oldest, newest) for name, number, oldest, newest in connection.execute(query)}


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """(pipeline, state) -> uploads that are not done."""
    query = select(uploads.c.pipeline, uploads.c.state, func.count()).where(uploads.c.state.in_([WAITING, TAKEN]))
    query = query.group_by(uploads.c.pipeline, uploads.c.state)
    return {(pipeline, state): number for pipeline, state, number in connection.execute(query)}


def oldest(connection: Connection, pipeline: str | None) -> datetime | None:
    """When the oldest upload that is not done was put here."""
    query = select(func.min(uploads.c.received_at)).where(uploads.c.state.in_([WAITING, TAKEN]))
    if pipeline is not None:
        query = query.where(uploads.c.pipeline == pipeline)
    found: datetime | None = connection.scalar(query)
    return found


def of_object(connection: Connection, uri: str) -> list[UploadRecord]:
    """All versions, by all pipelines, oldest first; reads every row, as only a person asks."""
    facts = [uploads.c[one.name] for one in fields(UploadRecord)]
    rows = connection.execute(select(*facts).where(uploads.c.uri == uri).order_by(uploads.c.id))
    return [UploadRecord(*row) for row in rows]


def prune(connection: Connection, before: datetime, pipeline: str | None, *, dry_run: bool) -> int:
    """Forget what was done before a time; return how many uploads that are."""
    gone = [uploads.c.state == DONE, uploads.c.updated_at < before]
    ended = [batches.c.state == BatchState.ENDED.value, batches.c.updated_at < before]
    if pipeline is not None:
        gone.append(uploads.c.pipeline == pipeline)
        ended.append(batches.c.pipeline == pipeline)
    if dry_run:
        return connection.execute(select(func.count()).where(*gone)).scalar_one()
    connection.execute(delete(batches).where(*ended))
    return connection.execute(delete(uploads).where(*gone)).rowcount
