"""Jobs in SQL: plan, read, claim, move. Plain functions within a transaction that the caller opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, case, exists, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from tasks.domain.errors import LedgerConflict
from tasks.domain.job import JOB_MOVES, Failure, InferenceSpec, JobState
from tasks.domain.video import VideoInfo, VideoRef, printable
from tasks.ledger import submissions
from tasks.ledger.base import JobRecord, Slots
from tasks.ledger.clock import lease_time
from tasks.ledger.columns import text_to_stored
from tasks.ledger.database import insert_new, is_any_of, keep_others_out
from tasks.ledger.history import JOB, begin_stories, line, tell
from tasks.ledger.redaction import bare_service, clean_failure
from tasks.ledger.schema import jobs, pipeline_jobs, videos
from tasks.ledger.slots import take_slot

Planned = tuple[str, VideoRef, InferenceSpec]

# What a move may change; always all of them, so that the statement is always the same.
_MOVED = (
    "state",
    "attempts",
    "token",
    "job_id",
    "service",
    "result_key",
    "failure",
    "submitted_at",
    "updated_at",
    "bound",
)
_MOVE = update(jobs).where(jobs.c.key == bindparam("this")).values({name: bindparam(name) for name in _MOVED})
_LEASE = (
    update(jobs).where(jobs.c.key == bindparam("this")).values(lease_owner=bindparam("by"), lease_until=bindparam("to"))
)
_RELEASE = (
    update(jobs)
    .where(jobs.c.key == bindparam("this"), jobs.c.lease_owner == bindparam("by"))
    .values(lease_owner="", lease_until=None)
)


def _records(name: ColumnElement[str]) -> Select[Any]:
    own = [column for column in jobs.c if column.name != "key"]
    of_video = [videos.c.uri, videos.c.version, videos.c.size, videos.c.modified, videos.c.info, videos.c.content]
    query = select(jobs.c.key.label("job_key"), *own, *of_video, name.label("name"))
    return query.join(videos, videos.c.key == jobs.c.video_key)


_NAME = (
    select(pipeline_jobs.c.name)
    .where(pipeline_jobs.c.job_key == jobs.c.key)
    .order_by(case((pipeline_jobs.c.pipeline == bindparam("pipeline"), 0), else_=1), pipeline_jobs.c.pipeline)
    .limit(1)
    .scalar_subquery()
)
_ONE = _records(_NAME).where(jobs.c.key == bindparam("this"))
# On PostgreSQL the row is ours until the transaction ends; on SQLite everything is. Its key is not:
# a delivery whose story refers to the job need not wait, and so never waits in a circle.
_ONE_LOCKED = _ONE.with_for_update(of=jobs, key_share=True)
_LOCK = select(jobs.c.id).where(jobs.c.key == bindparam("this")).with_for_update(key_share=True)


def plan_batch(connection: Connection, pipeline: str, batch: Sequence[Planned], now: datetime) -> int:
    """Record the jobs of one batch that are new, link all of them; return how many were new."""
    # Two listings that know the same videos in different orders would wait for each other's rows.
    keep_others_out(connection, "plan")
    batch = list({item[0]: item for item in batch}.values())  # of one listed twice, the last name counts
    keys = [key for key, _, _ in batch]
    mine = pipeline_jobs.c.pipeline == pipeline, pipeline_jobs.c.job_key.in_(keys)
    known = {row.job_key: row.name for row in connection.execute(select(pipeline_jobs).where(*mine))}
    if known:
        connection.execute(update(pipeline_jobs).where(*mine).values(seen_at=now))
    fresh = [item for item in batch if known.get(item[0]) != item[1].name]
    if not fresh:
        return 0
    rows = [(key, video_key(video), video, spec) for key, video, spec in fresh]
    connection.execute(
        insert_new(connection, videos).on_conflict_do_nothing(),
        [
            {
                "key": of,
                "uri": v.uri,
                "version": v.version,
                "size": v.size,
                "modified": v.modified,
                "info": None,
                "uri_key": uri_key(v.uri),
            }
            for _, of, v, _ in rows
        ],
    )
    connection.execute(
        insert_new(connection, jobs).on_conflict_do_nothing(),
        [_new_job(key, of, spec, now) for key, of, _, spec in rows],
    )
    link = insert_new(connection, pipeline_jobs)
    connection.execute(
        link.on_conflict_do_update(
            index_elements=["job_key", "pipeline"],
            set_={"name": link.excluded.name, "seen_at": link.excluded.seen_at},
        ),
        [{"job_key": key, "pipeline": pipeline, "name": v.name, "seen_at": now} for key, _, v, _ in rows],
    )
    return begin_stories(connection, [key for key, *_ in rows], pipeline, now)


def video_key(video: VideoRef) -> str:
    """Name one version of one object: 32 hex digits."""
    return hashlib.sha256(json.dumps([video.uri, video.version]).encode()).hexdigest()[:32]


def uri_key(uri: str) -> str:
    """Name an object, whichever version, for an index: 16 hex digits of the URI as it is stored."""
    return hashlib.sha256(text_to_stored(uri).encode()).hexdigest()[:16]


def _new_job(key: str, of: str, spec: InferenceSpec, now: datetime) -> dict[str, object]:
    return {
        "key": key,
        "video_key": of,
        "spec": spec,
        "state": JobState.PLANNED,
        "attempts": 0,
        "token": "",
        "job_id": "",
        "service": "",
        "result_key": "",
        "failure": None,
        "submitted_at": None,
        "lease_owner": "",
        "lease_until": None,
        "updated_at": now,
        "bound": None,
    }


def read_job(connection: Connection, key: str, pipeline: str | None) -> JobRecord | None:
    """One job, or None."""
    row = connection.execute(_ONE, {"this": key, "pipeline": pipeline or ""}).first()
    return None if row is None else _record(row)


def read_page(
    connection: Connection,
    after: int,
    size: int,
    *,
    pipeline: str | None,
    states: Sequence[JobState],
    uri: str,
    seen_since: datetime | None,
) -> tuple[list[JobRecord], int]:
    """The next jobs behind position ``after``, and the position of the last of them."""
    link = pipeline_jobs.c.job_key == jobs.c.key
    if pipeline is None:
        query = _records(_NAME).params(pipeline="")
        if seen_since is not None:
            query = query.where(exists().where(link, pipeline_jobs.c.seen_at >= seen_since))
    else:
        query = _records(pipeline_jobs.c.name).join(pipeline_jobs, link).where(pipeline_jobs.c.pipeline == pipeline)
        if seen_since is not None:
            query = query.where(pipeline_jobs.c.seen_at >= seen_since)
    if states:
        query = query.where(is_any_of(jobs.c.state, states))
    if uri:
        query = query.where(videos.c.uri_key == uri_key(uri), videos.c.uri == uri)
    rows = connection.execute(query.where(jobs.c.id > after).order_by(jobs.c.id).limit(size)).all()
    return [_record(row) for row in rows], rows[-1].id if rows else after


def claim_job(
    connection: Connection, key: str, owner: str, lease: timedelta, now: datetime, pipeline: str | None
) -> JobRecord | None:
    """Take or renew the lease, or say None because it is somebody else's."""
    job = _locked(connection, key, pipeline)
    at = lease_time(connection, now)
    if job.lease_owner not in ("", owner) and job.lease_until is not None and at < job.lease_until:
        return None
    until = at + lease
    connection.execute(_LEASE, {"this": key, "by": owner, "to": until})
    return replace(job, lease_owner=owner, lease_until=until)


def release_job(connection: Connection, key: str, owner: str) -> None:
    """Give the lease back if it is the owner's."""
    connection.execute(_RELEASE, {"this": key, "by": owner})


def move_job(
    connection: Connection,
    key: str,
    expected: JobState,
    to: JobState,
    owner: str,
    now: datetime,
    *,
    facts: dict[str, Any],
    failure: Failure | None,
    pipeline: str | None,
    slots: Slots | None,
) -> JobRecord:
    """Compare-and-set; ``facts`` are the given ones of token, job_id, service, result_key and bound."""
    if to not in JOB_MOVES[expected]:
        raise ValueError(f"a job never moves from {expected} to {to}")
    before = _locked(connection, key, pipeline)
    if before.state != expected:
        raise LedgerConflict(f"{_named(before)} is {before.state}, not {expected}: it cannot become {to}")
    if before.lease_owner != owner:
        holder = f"{printable(before.lease_owner)!r}" if before.lease_owner else "nobody"
        raise LedgerConflict(
            f"{_named(before)} is {before.state} and held by {holder}, not by {printable(owner)!r}: "
            f"it cannot become {to}"
        )
    after = _moved(before, to, now, facts, clean_failure(failure))
    if slots is not None:
        take_slot(connection, after, slots, now)
        if slots.submission is not None:
            submissions.note(connection, after, pipeline or "", slots.submission, now)
    if expected is JobState.SUBMITTING and to in (JobState.PLANNED, JobState.FAILED):
        submissions.forget(connection, before)
    connection.execute(_MOVE, {"this": key, **{name: getattr(after, name) for name in _MOVED}})
    detail = _detail(after, facts)
    tell(connection, [line(key, now, subject=JOB, before=expected.value, state=to.value, owner=owner, detail=detail)])
    return after


def find_moved(
    connection: Connection,
    key: str,
    to: JobState,
    owner: str,
    now: datetime,
    *,
    facts: dict[str, Any],
    failure: Failure | None,
    pipeline: str | None,
) -> JobRecord | None:
    """The job if exactly this move of it is the last one that was made, else None."""
    job = _locked(connection, key, pipeline)
    is_ours = (job.state, job.lease_owner, job.updated_at) == (to, owner, now)
    return job if is_ours and _moved(job, to, now, facts, clean_failure(failure), again=True) == job else None


def _moved(
    before: JobRecord,
    to: JobState,
    now: datetime,
    facts: dict[str, Any],
    failure: Failure | None,
    *,
    again: bool = False,
) -> JobRecord:
    changes: dict[str, Any] = {}
    if to is JobState.PLANNED:
        changes = {"token": "", "job_id": "", "service": "", "result_key": "", "submitted_at": None, "bound": False}
    elif to is JobState.SUBMITTING:
        changes = {"attempts": before.attempts + (0 if again else 1)}
    elif to is JobState.SUBMITTED:
        changes = {"submitted_at": now}
    if "service" in facts:
        changes["service"] = bare_service(facts["service"])
    return replace(before, state=to, updated_at=now, failure=failure, **{**facts, **changes})


def set_video_facts(connection: Connection, key: str, **facts: VideoInfo | str) -> None:
    """Remember facts of the job's video."""
    of = select(jobs.c.video_key).where(jobs.c.key == key).scalar_subquery()
    if not connection.execute(update(videos).where(videos.c.key == of).values(facts)).rowcount:
        raise _no_such(key)


def lock_job(connection: Connection, key: str) -> None:
    """Keep others off the job until the transaction ends."""
    if connection.execute(_LOCK, {"this": key}).first() is None:
        raise _no_such(key)


def count_jobs(connection: Connection, pipeline: str | None) -> dict[JobState, int]:
    """Jobs by state."""
    query = select(jobs.c.state, func.count().label("number")).group_by(jobs.c.state)
    if pipeline is not None:
        query = query.join(pipeline_jobs, pipeline_jobs.c.job_key == jobs.c.key)
        query = query.where(pipeline_jobs.c.pipeline == pipeline)
    found = {row.state: row.number for row in connection.execute(query)}
    return {state: found.get(state, 0) for state in JobState}


def oldest_in_flight(connection: Connection) -> datetime | None:
    """The earliest submission among the jobs that are at a service."""
    query = select(func.min(jobs.c.submitted_at)).where(jobs.c.state == JobState.SUBMITTED)
    oldest: datetime | None = connection.scalar(query)
    return oldest


def _locked(connection: Connection, key: str, pipeline: str | None) -> JobRecord:
    row = connection.execute(_ONE_LOCKED, {"this": key, "pipeline": pipeline or ""}).first()
    if row is None:
        raise _no_such(key)
    return _record(row)


def _no_such(key: str) -> LedgerConflict:
    return LedgerConflict(f"the ledger has no job {printable(key)}")


def _named(job: JobRecord) -> str:
    return f"job {job.key} ({job.video})"


def _detail(job: JobRecord, facts: dict[str, Any]) -> str:
    parts = [f"attempt {job.attempts}"] if job.state is JobState.SUBMITTING else []
    parts += [f"{label} {facts[name]}" for name, label in (("token", "token"), ("job_id", "job")) if facts.get(name)]
    parts += [f"results {job.result_key}"] if job.state is JobState.SUCCEEDED and not job.job_id else []
    parts += [f"{job.failure.stage}: {job.failure.code}"] if job.failure else []
    return ", ".join(parts)


def _record(row: Row[Any]) -> JobRecord:
    return JobRecord(
        key=row.job_key,
        video=VideoRef(uri=row.uri, version=row.version, size=row.size, modified=row.modified, name=row.name),
        spec=row.spec,
        state=row.state,
        attempts=row.attempts,
        token=row.token,
        job_id=row.job_id,
        service=row.service,
        result_key=row.result_key,
        info=row.info,
        content=row.content,
        failure=row.failure,
        submitted_at=row.submitted_at,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
        updated_at=row.updated_at,
        bound=bool(row.bound),
    )
