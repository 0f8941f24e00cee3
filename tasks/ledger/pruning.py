"""What may be forgotten, in SQL. Functions within a transaction that the caller opened.

Never a job, a delivery, what was submitted, or anything of a video that is not delivered everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select, update

from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.history import JOB
from tasks.ledger.schema import deliveries, jobs, moves, pipeline_jobs, shard_jobs, shards, videos
from tasks.ledger.upkeep import StoredResult


def _over(before: datetime, pipeline: str | None) -> list[ColumnElement[bool]]:
    """Jobs with results that every pipeline has brought to every route, since before a time."""
    is_open = or_(deliveries.c.state != DeliveryState.DELIVERED, deliveries.c.updated_at >= before)
    is_its = and_(deliveries.c.job_key == jobs.c.key, deliveries.c.pipeline == pipeline_jobs.c.pipeline)
    over = [
        jobs.c.state == JobState.SUCCEEDED,
        jobs.c.updated_at < before,
        ~exists().where(deliveries.c.job_key == jobs.c.key, is_open),
        ~exists().where(pipeline_jobs.c.job_key == jobs.c.key, ~exists().where(is_its).correlate(jobs, pipeline_jobs)),
    ]
    if pipeline is not None:
        over.append(exists().where(pipeline_jobs.c.job_key == jobs.c.key, pipeline_jobs.c.pipeline == pipeline))
    return over


def _old_moves(before: datetime) -> ColumnElement[bool]:
    """Lines but the first one of a job, which says when it became known, and for whom."""
    return and_(moves.c.at < before, or_(moves.c.subject != JOB, moves.c.before != ""))


def told_page(
    connection: Connection, after: int, size: int, *, before: datetime, pipeline: str | None
) -> tuple[list[str], int]:
    """Keys of the next jobs that are over and have a story to forget, and the position of the last of them."""
    has_story = exists().where(moves.c.job_key == jobs.c.key, _old_moves(before))
    query = select(jobs.c.key, jobs.c.id).where(*_over(before, pipeline), has_story, jobs.c.id > after)
    rows = connection.execute(query.order_by(jobs.c.id).limit(size)).all()
    return [row.key for row in rows], rows[-1].id if rows else after


def count_story(connection: Connection, keys: Sequence[str], before: datetime) -> int:
    """How many lines :func:`forget_story` would take."""
    return connection.execute(select(func.count()).where(moves.c.job_key.in_(keys), _old_moves(before))).scalar_one()


def forget_story(connection: Connection, keys: Sequence[str], before: datetime) -> int:
    """Take the old lines of some jobs' stories; return how many."""
    return connection.execute(delete(moves).where(moves.c.job_key.in_(keys), _old_moves(before))).rowcount


def _done_shards(before: datetime, pipeline: str | None) -> list[ColumnElement[bool]]:
    done = [shards.c.done == 1, shards.c.updated_at < before]
    return done if pipeline is None else [*done, shards.c.pipeline == pipeline]


def count_shards(connection: Connection, before: datetime, pipeline: str | None) -> int:
    """How many :func:`forget_shards` would take."""
    return connection.execute(select(func.count()).where(*_done_shards(before, pipeline))).scalar_one()


def forget_shards(connection: Connection, before: datetime, pipeline: str | None) -> int:
    """Take shards that were worked through before a time; return how many."""
    done = _done_shards(before, pipeline)
    connection.execute(delete(shard_jobs).where(shard_jobs.c.shard.in_(select(shards.c.id).where(*done))))
    return connection.execute(delete(shards).where(*done)).rowcount


def replaced(connection: Connection, before: datetime, pipeline: str | None) -> list[StoredResult]:
    """Results of versions that, in every pipeline, another one replaced before a time."""
    listings = select(pipeline_jobs.c.pipeline).where(pipeline_jobs.c.job_key == jobs.c.key)
    is_shown = listings.where(or_(pipeline_jobs.c.seen_at >= before, ~_was_replaced(before)))
    query = (
        select(jobs.c.key, jobs.c.result_key)
        .join(videos, videos.c.key == jobs.c.video_key)
        .where(*_over(before, pipeline), jobs.c.result_key != "", ~is_shown.correlate(jobs, videos).exists())
    )
    found = [StoredResult(row.key, row.result_key) for row in connection.execute(query.order_by(jobs.c.id))]
    return _without_shared(connection, found) if found else []


def _was_replaced(before: datetime) -> ColumnElement[bool]:
    """Whether a pipeline listed another version later, which was known before a time and has results now.

    One that came back was known before; that it was brought to the routes again tells when.
    """
    newer, listing, its_video = jobs.alias("newer"), pipeline_jobs.alias("listing"), videos.alias("its_video")
    became_known = and_(moves.c.job_key == newer.c.key, moves.c.subject == JOB, moves.c.before == "")
    brought = and_(deliveries.c.job_key == newer.c.key, deliveries.c.pipeline == pipeline_jobs.c.pipeline)
    # Hidden from SQLite, which would read every job of the state for each job, rather than a video's by its URI.
    has_results = and_(func.coalesce(newer.c.state, newer.c.state) == JobState.SUCCEEDED, newer.c.result_key != "")
    there = (
        select(newer.c.id)
        .where(its_video.c.uri_key == videos.c.uri_key, its_video.c.uri == videos.c.uri)
        .where(its_video.c.key != videos.c.key, newer.c.video_key == its_video.c.key)
        .where(has_results)
        .where(listing.c.job_key == newer.c.key, listing.c.pipeline == pipeline_jobs.c.pipeline)
        .where(listing.c.seen_at > pipeline_jobs.c.seen_at)
        .where(exists().where(became_known, moves.c.at < before).correlate(newer))
        .where(~exists().where(brought, deliveries.c.updated_at >= before).correlate(newer, pipeline_jobs))
    )
    return there.correlate(videos, pipeline_jobs).exists()


def _without_shared(connection: Connection, found: list[StoredResult]) -> list[StoredResult]:
    """Without results that a job which stays has taken over as those of a copy."""
    going, wanted = {one.job_key for one in found}, {one.result_key for one in found}
    others = connection.execute(select(jobs.c.key, jobs.c.result_key).where(jobs.c.result_key != ""))
    shared = {row.result_key for row in others if row.result_key in wanted and row.key not in going}
    return [one for one in found if one.result_key not in shared]


def forget_results(connection: Connection, keys: Sequence[str]) -> None:
    """Note that results are not stored any more."""
    connection.execute(update(jobs).where(jobs.c.key.in_(keys)).values(result_key=""))
