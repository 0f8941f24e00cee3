"""What reelroute asks of its ledger: the durable record of jobs and deliveries.

Every move is compare-and-set in one transaction and is kept with its time. A row that somebody
is working on carries a lease (owner, until); when the lease has passed, anybody may take over.
All times are timezone-aware UTC and come from the caller, never from the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from tasks.domain.job import DeliveryState, Failure, InferenceSpec, JobState
from tasks.domain.video import VideoInfo, VideoRef


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as the ledger holds it.

    Attributes:
        key: See :func:`tasks.domain.job.job_key`.
        video, spec: What it is a job of.
        state: Where it stands.
        attempts: How often a submission was begun.
        token: Token of the current attempt, "" before the first.
        job_id: The service's id, "" until its answer is recorded.
        service: Base URL of the service that has the job, without any key, or "".
        result_key: Where the results store has the results JSON, or "".
        info: The video's probed facts, or None.
        failure: Why it stopped, or None.
        submitted_at: When the service took it; deadlines count from here.
        lease_owner, lease_until: Who is working on it, until when; "" and None if nobody.
        updated_at: Time of the last move.
    """

    key: str
    video: VideoRef
    spec: InferenceSpec
    state: JobState
    attempts: int
    token: str
    job_id: str
    service: str
    result_key: str
    info: VideoInfo | None
    failure: Failure | None
    submitted_at: datetime | None
    lease_owner: str
    lease_until: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """One job to one route of one pipeline.

    Attributes:
        pipeline, job_key, route: Its identity; ``route`` is the route's name in the pipeline.
        fingerprint: Hash of the route's settings; a changed route is a new delivery to make.
        outputs: URIs that the sink reported.
        (the rest as in :class:`JobRecord`)
    """

    pipeline: str
    job_key: str
    route: str
    fingerprint: str
    state: DeliveryState
    attempts: int
    outputs: tuple[str, ...]
    failure: Failure | None
    lease_owner: str
    lease_until: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Move:
    """One line of a job's or delivery's story."""

    at: datetime
    subject: str  # "job" or the route's name
    state: str
    detail: str


class Ledger(Protocol):
    """Jobs and deliveries, safe to share by threads, processes and machines.

    Any method may raise :class:`tasks.domain.errors.LedgerUnusable`.
    """

    def plan(self, pipeline: str, jobs: Iterable[tuple[str, VideoRef, InferenceSpec]], now: datetime) -> int:
        """Record jobs (key, video, spec) that are not known yet as planned; return how many were new.

        Links every job to the pipeline and remembers under which name the pipeline sees the
        video. Streams: takes the iterable in batches, one transaction each.
        """
        ...

    def job(self, key: str) -> JobRecord | None:
        """Read one job."""
        ...

    def jobs(
        self, pipeline: str | None = None, states: Sequence[JobState] = (), *, uri: str = ""
    ) -> Iterator[JobRecord]:
        """Stream jobs, oldest first, optionally of one pipeline, in some states, of one video URI."""
        ...

    def claim(self, key: str, owner: str, lease: timedelta, now: datetime) -> JobRecord | None:
        """Take the lease of a job that nobody holds (or whose lease has passed, or that is ours).

        Returns the record as it is now, or None when somebody else is at work on it.
        """
        ...

    def release(self, key: str, owner: str) -> None:
        """Give the lease back if ``owner`` still holds it."""
        ...

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
        failure: Failure | None = None,
    ) -> JobRecord:
        """Compare-and-set the state and the given facts; the lease must be ``owner``'s.

        Moving to SUBMITTING counts an attempt; to SUBMITTED sets ``submitted_at``; to PLANNED
        clears token, job id and failure. ``failure`` is stored as given (None clears it).

        Raises:
            LedgerConflict: The job is not in ``expected`` or the lease is not ours.
            ValueError: ``JOB_MOVES`` has no such move.
        """
        ...

    def set_info(self, key: str, info: VideoInfo) -> None:
        """Remember what probing the video found."""
        ...

    def plan_deliveries(self, pipeline: str, job_key: str, routes: dict[str, str], now: datetime) -> list[DeliveryRecord]:
        """Ensure a delivery per route (name -> fingerprint); return those not delivered yet.

        A delivered or failed delivery whose fingerprint differs goes back to pending.
        """
        ...

    def deliveries(
        self, pipeline: str | None = None, states: Sequence[DeliveryState] = (), *, job_key: str = ""
    ) -> Iterator[DeliveryRecord]:
        """Stream deliveries, oldest first."""
        ...

    def claim_delivery(
        self, pipeline: str, job_key: str, route: str, owner: str, lease: timedelta, now: datetime
    ) -> DeliveryRecord | None:
        """Move a pending delivery (or one left delivering under a dead lease) to delivering under our lease.

        Counts an attempt. None when it is somebody else's or needs nothing.
        """
        ...

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
        """End a delivery that we claimed as delivered, failed or (to be tried again) pending.

        Raises:
            LedgerConflict: The delivery is no longer ours.
        """
        ...

    def reset_delivery(self, pipeline: str, job_key: str, route: str, now: datetime) -> bool:
        """Put a delivered or failed delivery back to pending; False if it was neither."""
        ...

    def counts(self, pipeline: str | None = None) -> tuple[dict[JobState, int], dict[str, dict[DeliveryState, int]]]:
        """Count jobs by state, and deliveries by route and state."""
        ...

    def story(self, key: str) -> list[Move]:
        """Every move of a job and its deliveries, oldest first."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...
