"""Questions about versions in SQL: short reads, tried again while the database is out of reach."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, exists, func, select

from tasks.domain.job import DeliveryState, InferenceSpec, JobState
from tasks.ledger.columns import aware
from tasks.ledger.database import Database
from tasks.ledger.jobs import uri_key
from tasks.ledger.schema import deliveries, jobs, pipeline_jobs, videos
from tasks.ledger.versions import Replaced

_AT_SERVICE = (JobState.SUBMITTING, JobState.SUBMITTED)
_LAST_FIRST = (pipeline_jobs.c.seen_at.desc(), jobs.c.id.desc())
_LISTED = pipeline_jobs.join(jobs, jobs.c.key == pipeline_jobs.c.job_key).join(videos, videos.c.key == jobs.c.video_key)
_CURRENT = (
    select(jobs.c.key)
    .select_from(_LISTED)
    .where(
        videos.c.uri_key == bindparam("uri_key"),
        videos.c.uri == bindparam("uri"),
        pipeline_jobs.c.pipeline == bindparam("pipeline"),
        jobs.c.spec == bindparam("spec"),
    )
    .order_by(*_LAST_FIRST)
    .limit(1)
)

_other_videos, _other_jobs, _others = videos.alias(), jobs.alias(), deliveries.alias()
_WRITTEN_OVER = exists().where(
    _other_videos.c.uri_key == videos.c.uri_key,
    _other_videos.c.uri == videos.c.uri,
    _other_jobs.c.video_key == _other_videos.c.key,
    _other_jobs.c.key != jobs.c.key,
    _others.c.job_key == _other_jobs.c.key,
    _others.c.pipeline == deliveries.c.pipeline,
    _others.c.route == deliveries.c.route,
    _others.c.attempts > 0,
    _others.c.updated_at > deliveries.c.updated_at,
)
_OVERTAKEN = (
    select(deliveries.c.job_key, deliveries.c.route)
    .select_from(_LISTED.join(deliveries, deliveries.c.job_key == jobs.c.key))
    .where(
        pipeline_jobs.c.pipeline == bindparam("pipeline"),
        deliveries.c.pipeline == bindparam("pipeline"),
        pipeline_jobs.c.seen_at >= bindparam("since"),
        jobs.c.spec == bindparam("spec"),
        deliveries.c.state == DeliveryState.DELIVERED,
        _WRITTEN_OVER,
    )
    .order_by(deliveries.c.id)
)


class SqlVersions:
    """Implements :class:`tasks.ledger.versions.Versions`, which says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current_job(self, pipeline: str, uri: str, spec: InferenceSpec) -> str:
        """Key of the job of the version listed last."""
        asked = {"pipeline": pipeline, "uri": uri, "uri_key": uri_key(uri), "spec": spec}
        return self._database.look(lambda connection: connection.execute(_CURRENT, asked).scalar()) or ""

    def overtaken(self, pipeline: str, spec: InferenceSpec, *, seen_since: datetime) -> list[tuple[str, str]]:
        """Deliveries that another job's have written over."""
        asked = {"pipeline": pipeline, "spec": spec, "since": aware(seen_since)}
        rows = self._database.look(lambda connection: connection.execute(_OVERTAKEN, asked).all())
        return [(row.job_key, row.route) for row in rows]

    def replaced(self, pipeline: str | None = None) -> Replaced:
        """Jobs that are current nowhere."""
        return self._database.look(lambda connection: _replaced(connection, pipeline))


def _replaced(connection: Connection, pipeline: str | None) -> Replaced:
    mine = [] if pipeline is None else [pipeline_jobs.c.pipeline == pipeline]
    place = func.row_number().over(partition_by=(pipeline_jobs.c.pipeline, videos.c.uri), order_by=_LAST_FIRST)
    listed = select(jobs.c.key, place.label("place")).select_from(_LISTED).where(*mine).subquery()
    behind = select(listed.c.key).group_by(listed.c.key).having(func.min(listed.c.place) > 1)
    rows = connection.execute(
        select(jobs.c.key, jobs.c.state).where(jobs.c.key.in_(behind), jobs.c.state.not_in(_AT_SERVICE))
    ).all()
    if not rows:
        return Replaced()
    states: dict[JobState, int] = {}
    for row in rows:
        states[row.state] = states.get(row.state, 0) + 1
    mine = [] if pipeline is None else [deliveries.c.pipeline == pipeline]
    counted = (
        select(deliveries.c.route, deliveries.c.state, func.count().label("number"))
        .join(jobs, and_(jobs.c.key == deliveries.c.job_key, jobs.c.state.not_in(_AT_SERVICE)))
        .where(jobs.c.key.in_(behind), *mine)
        .group_by(deliveries.c.route, deliveries.c.state)
    )
    routes: dict[str, dict[DeliveryState, int]] = {}
    for found in connection.execute(counted):
        routes.setdefault(found.route, {})[found.state] = found.number
    return Replaced(frozenset(row.key for row in rows), states, routes)
