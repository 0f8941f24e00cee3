"""The ledger in a SQL database: one short transaction per call, tried again while the database is out of reach.

The SQL of jobs, deliveries and their story is in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection

from tasks.domain.job import DeliveryState, Failure, InferenceSpec, JobState
from tasks.domain.video import VideoInfo, VideoRef
from tasks.ledger import deliveries as delivery_rows
from tasks.ledger import history, leases, slots
from tasks.ledger import jobs as job_rows
from tasks.ledger.base import DeliveryRecord, JobRecord, Move, Slots
from tasks.ledger.columns import aware
from tasks.ledger.inbox_store import SqlInbox, named
from tasks.ledger.redaction import clean_failure, is_fetchable, without_grants
from tasks.ledger.shard_store import SqlShards
from tasks.ledger.upkeep_store import SqlUpkeep
from tasks.ledger.versions_store import SqlVersions

# Rows written or read in one transaction: few enough that others hardly wait.
BATCH = 500

Record = TypeVar("Record")


class SqlLedger(SqlInbox, SqlShards, SqlUpkeep, SqlVersions):
    """Implements :class:`tasks.ledger.base.Ledger`, which says what each method promises.

    Open one with :func:`tasks.ledger.open.open_ledger`.
    """

    def plan(self, pipeline: str, jobs: Iterable[tuple[str, VideoRef, InferenceSpec]], now: datetime) -> int:
        """Record jobs that are not known yet, batch by batch; return how many were new.

        A batch whose commit was made and whose answer was lost counts as known.
        """
        now = aware(now)
        new = 0
        source = map(_checked, jobs)
        while batch := list(islice(source, BATCH)):
            new += self._database.change(partial(job_rows.plan_batch, pipeline=pipeline, batch=batch, now=now))
        return new

    def job(self, key: str, *, pipeline: str | None = None) -> JobRecord | None:
        """Read one job."""
        return self._database.look(lambda connection: job_rows.read_job(connection, key, pipeline))

    def jobs(
        self,
        pipeline: str | None = None,
        states: Sequence[JobState] = (),
        *,
        uri: str = "",
        seen_since: datetime | None = None,
    ) -> Iterator[JobRecord]:
        """Stream jobs, oldest first."""
        since = aware(seen_since) if seen_since else None
        filters: dict[str, Any] = {"pipeline": pipeline, "states": states, "uri": uri, "seen_since": since}
        return self._paged(partial(job_rows.read_page, size=BATCH, **filters))

    def claim(
        self, key: str, owner: str, lease: timedelta, now: datetime, *, pipeline: str | None = None
    ) -> JobRecord | None:
        """Take or renew a job's lease; None if it is somebody else's."""
        asked = key, named(owner), lease, aware(now), pipeline
        return self._database.change(lambda connection: job_rows.claim_job(connection, *asked))

    def release(self, key: str, owner: str) -> None:
        """Give a lease back if it is still the owner's."""
        asked = key, named(owner)
        self._database.change(lambda connection: job_rows.release_job(connection, *asked))

    def move(
        self,
        key: str,
        expected: JobState,
        to: JobState,
        owner: str,
        now: datetime,
        *,
        token: str | None = None,
        job_id: str | None = None,
        service: str | None = None,
        result_key: str | None = None,
        bound: bool | None = None,
        failure: Failure | None = None,
        pipeline: str | None = None,
        slots: Slots | None = None,
    ) -> JobRecord:
        """Compare-and-set a job's state and facts, and keep the move."""
        given: dict[str, Any] = {
            "token": token,
            "job_id": job_id,
            "service": service,
            "result_key": result_key,
            "bound": bound,
        }
        facts = {name: value for name, value in given.items() if value is not None}
        asked: dict[str, Any] = {"key": key, "to": to, "owner": named(owner), "now": aware(now), "facts": facts}
        asked |= {"failure": failure, "pipeline": pipeline}
        return self._database.change(
            partial(job_rows.move_job, expected=expected, slots=slots, **asked),
            partial(job_rows.find_moved, **asked),
        )

    def note(self, key: str, owner: str, said: Failure | None) -> None:
        """Keep what was last said of a job at the service."""
        clean = clean_failure(said)
        self._database.change(lambda connection: history.note(connection, key, owner, clean))

    def renew(self, owner: str, lease: timedelta, now: datetime) -> int:
        """Prolong every lease of a job that the owner holds."""
        asked = named(owner), lease, aware(now)
        return self._database.change(lambda connection: leases.renew(connection, *asked))

    def owners(self) -> set[str]:
        """Everybody who is named in a lease."""
        return self._database.look(leases.owners)

    def abandon(self, owner: str, now: datetime) -> int:
        """Give back every lease of an owner that is gone."""
        asked = named(owner), aware(now)
        return self._database.change(lambda connection: leases.abandon(connection, *asked))

    def set_info(self, key: str, info: VideoInfo) -> None:
        """Remember what probing a job's video found."""
        self._database.change(lambda connection: job_rows.set_video_facts(connection, key, info=info))

    def set_content(self, key: str, content: str) -> None:
        """Remember what the bytes of the job's video are."""
        self._database.change(lambda connection: job_rows.set_video_facts(connection, key, content=content))

    def find_copy(
        self, content: str, size: int, spec: InferenceSpec, now: datetime, *, deadline: timedelta, but: str = ""
    ) -> JobRecord | None:
        """Find a job of the same content under the same spec: with results if there is one, else open."""
        asked: dict[str, Any] = {"content": content, "size": size, "spec": spec, "now": aware(now)}
        asked |= {"deadline": deadline, "but": but}

        def find(connection: Connection) -> JobRecord | None:
            key = slots.find_copy(connection, **asked)
            return None if key is None else job_rows.read_job(connection, key, None)

        return self._database.look(find)

    def plan_deliveries(
        self, pipeline: str, job_key: str, routes: dict[str, str], now: datetime
    ) -> list[DeliveryRecord]:
        """Ensure a delivery per route; return those not delivered yet."""
        asked = pipeline, job_key, routes, aware(now)
        return self._database.change(lambda connection: delivery_rows.plan_routes(connection, *asked))

    def undelivered(self, pipeline: str, routes: Mapping[str, str], *, seen_since: datetime) -> Iterator[str]:
        """Stream the keys of succeeded jobs that a route is still to get."""
        asked: dict[str, Any] = {"pipeline": pipeline, "routes": routes, "seen_since": aware(seen_since)}
        return self._paged(partial(delivery_rows.undelivered_page, size=BATCH, **asked))

    def deliveries(
        self, pipeline: str | None = None, states: Sequence[DeliveryState] = (), *, job_key: str = ""
    ) -> Iterator[DeliveryRecord]:
        """Stream deliveries, oldest first."""
        return self._paged(
            partial(delivery_rows.read_page, size=BATCH, pipeline=pipeline, states=states, job_key=job_key)
        )

    def claim_delivery(
        self, pipeline: str, job_key: str, route: str, owner: str, lease: timedelta, now: datetime
    ) -> DeliveryRecord | None:
        """Begin a delivery, take over a dead one, or renew ours."""
        asked = pipeline, job_key, route, named(owner), lease, aware(now)
        return self._database.change(lambda connection: delivery_rows.claim_route(connection, *asked))

    def finish_delivery(
        self,
        pipeline: str,
        job_key: str,
        route: str,
        owner: str,
        to: DeliveryState,
        now: datetime,
        *,
        outputs: Sequence[str] = (),
        failure: Failure | None = None,
    ) -> None:
        """End a delivery that is ours."""
        asked: dict[str, Any] = {"pipeline": pipeline, "job_key": job_key, "route": route, "to": to, "now": aware(now)}
        asked |= {"outputs": outputs, "failure": failure}
        self._database.change(
            partial(delivery_rows.finish_route, owner=named(owner), **asked),
            partial(delivery_rows.find_finished, **asked),
        )

    def reset_delivery(self, pipeline: str, job_key: str, route: str, now: datetime) -> bool:
        """Put an ended delivery back to pending."""
        asked = pipeline, job_key, route, aware(now)
        return self._database.change(
            lambda connection: delivery_rows.reset_route(connection, *asked),
            lambda connection: delivery_rows.find_reset(connection, *asked),
        )

    def counts(self, pipeline: str | None = None) -> tuple[dict[JobState, int], dict[str, dict[DeliveryState, int]]]:
        """Count jobs by state, and deliveries by route and state."""
        return self._database.look(
            lambda connection: (
                job_rows.count_jobs(connection, pipeline),
                delivery_rows.count_deliveries(connection, pipeline),
            )
        )

    def oldest_in_flight(self) -> datetime | None:
        """When the job was submitted that has been at a service for longest."""
        return self._database.look(job_rows.oldest_in_flight)

    def story(self, key: str) -> list[Move]:
        """Every move of a job and its deliveries, oldest first."""
        return self._database.look(lambda connection: history.story(connection, key))

    def _paged(self, read: Callable[..., tuple[list[Record], int]]) -> Iterator[Record]:
        """Stream page after page, with no transaction open while the caller works on a record."""
        after = 0
        while True:
            records, after = self._database.look(partial(read, after=after))
            yield from records
            if len(records) < BATCH:
                return

    def close(self) -> None:
        """Close connections."""
        self._database.close()


def _checked(job: tuple[str, VideoRef, InferenceSpec]) -> tuple[str, VideoRef, InferenceSpec]:
    video = job[1]
    if is_fetchable(video.uri):
        raise ValueError(f"{without_grants(video.uri)} is no storage URI such as s3://bucket/key")
    aware(video.modified)
    return job
