"""What reelroute asks of its ledger: the durable record of jobs and deliveries.

Every move is compare-and-set in one transaction and is kept with its time. A row that somebody
is working on carries a lease (owner, until); when the lease has passed, anybody may take over.
All times are timezone-aware UTC and come from the caller. Leases go by the database's clock where it has one
(PostgreSQL), by as much as the caller's differs. On SQLite all processes have one clock; if it is set forward, a lease
may pass early, which costs an extra look at the job and no money.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from tasks.domain.budget import Submission
from tasks.domain.job import DeliveryState, Failure, InferenceSpec, JobState
from tasks.domain.video import VideoInfo, VideoRef
from tasks.ledger.inbox import Inbox
from tasks.ledger.shard_base import ShardLedger
from tasks.ledger.upkeep import Upkeep
from tasks.ledger.versions import Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as the ledger holds it.

    Attributes:
        key: See :func:`tasks.domain.job.job_key`.
        video, spec: What it is a job of. The video's name is the one that the pipeline asked
            about sees it under, and otherwise that of any pipeline.
        state: Where it stands.
        attempts: How often a submission was begun.
        token, job_id: Of the current attempt, and the service's id; each "" until it is recorded.
        service: Base URL of the service that has the job, without any key, or "".
        result_key: Where the results store has the results JSON, or "".
        info: The video's probed facts, or None.
        content: Hash of the video's bytes, "" if its store has none, None if nobody asked yet.
        failure: Why it stopped; while it is at the service, what was last said that does not tell how it is; or None.
        submitted_at: When the service took it; deadlines count from here.
        lease_owner, lease_until: Who is working on it, until when; "" and None if nobody.
        updated_at: Time of the last move.
        bound: The service was given that version of the video, and can have read no other.
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
    content: str | None
    failure: Failure | None
    submitted_at: datetime | None
    lease_owner: str
    lease_until: datetime | None
    updated_at: datetime
    bound: bool = False


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
    """One line of a job's or delivery's story.

    Attributes:
        at: When.
        subject: "job" or the route's name.
        state: Where it went.
        detail: What else was recorded, such as the attempt's token or the failure's code.
        before: Where it came from, "" for the first line.
        owner: Who moved it, "" where nobody held a lease.
        pipeline: Whose delivery it is, or which pipeline planned the job first; else "".
    """

    at: datetime
    subject: str
    state: str
    detail: str
    before: str = ""
    owner: str = ""
    pipeline: str = ""


@dataclass(frozen=True, slots=True)
class Slots:
    """How many jobs may be open at one service at once, over all runs and machines.

    Attributes:
        limit: So many.
        deadline: A job that was submitted longer ago than this takes no slot any more.
        once_per_content: A job gets a slot only while no copy is ahead of it: a job under the same
            spec, of a video with the same content and size, that is open or has results.
        submission: What the job is counted as; None counts nothing.
    """

    limit: int
    deadline: timedelta
    once_per_content: bool = False
    submission: Submission | None = None


class Ledger(Inbox, ShardLedger, Upkeep, Versions, Protocol):
    """Jobs, deliveries, the inbox and shards, safe to share by threads, processes and machines.

    Any method may raise :class:`tasks.domain.errors.LedgerUnusable`,
    :class:`tasks.domain.errors.LedgerUnavailable` when the database stayed out of reach though it
    was tried again for a while, and ``ValueError`` for a time without a zone. Being tried again is
    part of every method: one whose commit was made and whose answer was lost does not do its work
    twice. Owners are unique names; ``pipeline`` where it is optional only chooses under which name
    the record shows the video. Nothing that could be a signed URL is stored: a service's URL,
    failures and outputs lose their user info and query.
    """

    def plan(self, pipeline: str, jobs: Iterable[tuple[str, VideoRef, InferenceSpec]], now: datetime) -> int:
        """Record jobs (key, video, spec) that are not known yet as planned; return how many were new.

        Links every job to the pipeline and remembers under which name the pipeline sees the
        video, and that it saw it ``now``. Streams: takes the iterable in batches, one
        transaction each; what was taken before the iterable raised stays.

        Raises:
            ValueError: A video's URI is not a storage URI but something to fetch over HTTP.
        """
        ...

    def job(self, key: str, *, pipeline: str | None = None) -> JobRecord | None:
        """Read one job."""
        ...

    def jobs(
        self,
        pipeline: str | None = None,
        states: Sequence[JobState] = (),
        *,
        uri: str = "",
        seen_since: datetime | None = None,
    ) -> Iterator[JobRecord]:
        """Stream jobs, oldest first, optionally of one pipeline, in some states, of one video URI.

        With ``seen_since``, only jobs that the pipeline (or any, without one) planned at that
        time or later: videos that have left the sources since are not among them. Each job
        comes at most once, as it is when it is reached; moving jobs meanwhile is fine.
        """
        ...

    def claim(
        self, key: str, owner: str, lease: timedelta, now: datetime, *, pipeline: str | None = None
    ) -> JobRecord | None:
        """Take the lease of a job that nobody holds (or whose lease has passed, or that is ours).

        Returns the record as it is now, or None when somebody else is at work on it.

        Raises:
            LedgerConflict: There is no such job.
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
        bound: bool | None = None,
        failure: Failure | None = None,
        pipeline: str | None = None,
        slots: Slots | None = None,
    ) -> JobRecord:
        """Compare-and-set the state and the given facts; the lease must be ``owner``'s.

        Moving to SUBMITTING counts an attempt; to SUBMITTED sets ``submitted_at``; to PLANNED
        forgets the attempt (token, job id, service, result key, ``submitted_at``). ``failure``
        is stored as given (None clears it). A lease that has passed but that nobody took over
        still counts as ours.

        With ``slots`` and ``service``, the job moves only while fewer than ``slots.limit`` jobs
        are open at that service: SUBMITTING under a lease that has not passed, or SUBMITTED for
        less than ``slots.deadline``. Whoever asks at the same time is counted.

        Raises:
            LedgerConflict: The job is not in ``expected`` or the lease is not ours.
            SlotsFull: No slot is free; nothing was changed.
            CopyAhead: A copy is ahead, and ``slots.once_per_content``; nothing was changed.
            BudgetSpent: ``slots.submission`` exceeds the period's budget; nothing was changed.
            ValueError: ``JOB_MOVES`` has no such move.
        """
        ...

    def note(self, key: str, owner: str, said: Failure | None) -> None:
        """Keep as ``failure`` what was last said of a job that is ours, at the service; no move, nothing otherwise."""
        ...

    def renew(self, owner: str, lease: timedelta, now: datetime) -> int:
        """Prolong every lease of a job that ``owner`` holds, in one transaction; return how many.

        A lease that has passed is ours until somebody takes the job over, and never again after that.
        """
        ...

    def owners(self) -> set[str]:
        """Name everybody who holds a lease of a job or a delivery, whether it has passed or not."""
        ...

    def abandon(self, owner: str, now: datetime) -> int:
        """Give back every lease of an owner that is known to be gone; return how many.

        A delivery that it left half made becomes pending again. A job stays where it was: what
        becomes of one that was being submitted is for whoever claims it next.
        """
        ...

    def set_info(self, key: str, info: VideoInfo) -> None:
        """Remember what probing the job's video found, for every job of that video version.

        Raises:
            LedgerConflict: There is no such job.
        """
        ...

    def set_content(self, key: str, content: str) -> None:
        """Remember what the bytes of the job's video are, as :meth:`set_info` does."""
        ...

    def find_copy(
        self, content: str, size: int, spec: InferenceSpec, now: datetime, *, deadline: timedelta, but: str = ""
    ) -> JobRecord | None:
        """Find a job of the same content under the same spec: with results if there is one, else open.

        Open is what takes a slot; see :class:`Slots` for ``deadline``. Job ``but`` and content "" do not count.
        """
        ...

    def plan_deliveries(
        self, pipeline: str, job_key: str, routes: dict[str, str], now: datetime
    ) -> list[DeliveryRecord]:
        """Ensure a delivery per route (name -> fingerprint); return those not delivered yet.

        A delivered or failed delivery whose fingerprint differs goes back to pending. One that
        is under way keeps its old fingerprint, so that it is seen as changed once it has ended.
        Failed deliveries of unchanged routes are among those returned, in the order of ``routes``.

        Raises:
            LedgerConflict: There is no such job.
        """
        ...

    def undelivered(self, pipeline: str, routes: Mapping[str, str], *, seen_since: datetime) -> Iterator[str]:
        """Stream the keys of succeeded jobs that a route (name -> fingerprint) is still to get; changes nothing.

        Asks about the jobs that the pipeline planned at that time or later. These are the ones of which
        :meth:`plan_deliveries` returns deliveries that have not failed.
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

        Counts an attempt. None when it is somebody else's or needs nothing. Claiming again what
        is already ours only renews the lease.
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
            ValueError: ``to`` is no end of a delivery.
        """
        ...

    def reset_delivery(self, pipeline: str, job_key: str, route: str, now: datetime) -> bool:
        """Put a delivered or failed delivery back to pending; False if it was neither."""
        ...

    def counts(self, pipeline: str | None = None) -> tuple[dict[JobState, int], dict[str, dict[DeliveryState, int]]]:
        """Count jobs by state, and deliveries by route and state; every state is there, if only as 0."""
        ...

    def oldest_in_flight(self) -> datetime | None:
        """When the job was submitted that has been at a service for longest; None if none is there."""
        ...

    def story(self, key: str) -> list[Move]:
        """Every move of a job and its deliveries, oldest first."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...
