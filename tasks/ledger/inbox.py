"""What reelroute asks of the ledger's inbox: uploads that were reported and not yet seen to.

    waiting ──take──▶ taken (in a batch) ──finish──▶ done (with an outcome)
       ▲                  │
       └──given back──────┘        the run died, or could not see to it

A batch is what one flow run sees to. It is formed under the lease of whoever starts the run,
started when the run is known to exist, running under the lease of the run itself, and ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from tasks.domain.upload import UploadEvent


class Received(StrEnum):
    """What became of an event that was put into the inbox."""

    NEW = "new"
    DUPLICATE = "duplicate"  # it is there already, waiting, taken or done
    SUPERSEDED = "superseded"  # a later version of the same object is


class BatchState(StrEnum):
    """Where a batch stands."""

    FORMED = "formed"
    STARTED = "started"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Upload:
    """An event in the inbox.

    Attributes:
        key: See :func:`tasks.domain.upload.upload_key`.
        uri, version, size: As the event said.
        received_at: When it was first put here.
        attempts: How often it has been in a batch.
    """

    key: str
    uri: str
    version: str
    size: int | None
    received_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """How an upload stands, for people who ask whether it has arrived.

    Attributes:
        pipeline: Who wants it.
        uri, version: As the event said.
        state: ``waiting``, ``taken`` (in a batch) or ``done``.
        outcome: What became of one that is done, such as ``succeeded`` or ``superseded``.
        batch: Id of the batch that it is or was in, or "".
        attempts: How often it has been in a batch.
        received_at, due_at, updated_at: When it was put here; before when it is in no batch; its last change.
    """

    pipeline: str
    uri: str
    version: str
    state: str
    outcome: str
    batch: str
    attempts: int
    received_at: datetime
    due_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """Uploads of one pipeline that one run sees to.

    Attributes:
        id: 32 hex digits; also keeps Prefect from starting its run twice.
        size: How many uploads are in it.
        run: Id of the flow run, "" until it is known.
        lease_owner, lease_until: Who is at work on it, until when.
    """

    id: str
    pipeline: str
    state: BatchState
    size: int
    run: str
    lease_owner: str
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for one pipeline and is due.

    Attributes:
        count: Uploads.
        oldest, newest: When the first and the last of them were put here.
    """

    count: int
    oldest: datetime
    newest: datetime


class Inbox(Protocol):
    """Uploads that wait for a run; part of the ledger, with its promises on faults, times and threads."""

    def lease_time(self, now: datetime) -> datetime:
        """What ``now``, by our machine's clock, is by the clock that ``lease_until`` is written by."""
        ...

    def put_uploads(self, uploads: Sequence[tuple[str, UploadEvent]], now: datetime) -> list[Received]:
        """Record events of (pipeline, event), in one transaction; what was told before changes nothing.

        An event is known by pipeline, URI and version. One that is certainly older than another
        of the same object is superseded and not seen to; one that is done and told again with a
        later sequencer (the same bytes were uploaded again) waits again. Returns one answer per event.
        """
        ...

    def waiting(self, now: datetime) -> dict[str, Waiting]:
        """By pipeline, what waits and is due."""
        ...

    def form_batch(self, pipeline: str, owner: str, lease: timedelta, now: datetime, *, most: int) -> Batch | None:
        """Take the oldest uploads that wait and are due, ``most`` at most; None if there are none.

        Nobody else takes the same ones, however many try.
        """
        ...

    def batches(self, states: Sequence[BatchState]) -> list[Batch]:
        """Batches in some states, oldest first."""
        ...

    def hold_batch(self, batch: str, owner: str, lease: timedelta, now: datetime) -> bool:
        """Take over (or renew) a formed batch whose run is not known to exist; False if it is somebody else's."""
        ...

    def start_batch(self, batch: str, run: str, lease: timedelta, now: datetime) -> None:
        """Record that a batch's run exists; it has ``lease`` to begin. Nothing if it has begun, or ended."""
        ...

    def claim_batch(self, batch: str, owner: str, lease: timedelta, now: datetime) -> list[Upload] | None:
        """As the batch's run, take it or renew its lease; None if it has ended or another run has it."""
        ...

    def finish_batch(self, batch: str, owner: str, outcomes: Mapping[str, str], now: datetime) -> int:
        """End a batch that we hold: done are the uploads in ``outcomes`` (key -> what became of each).

        The others wait again, each time longer. Returns how many do.

        Raises:
            LedgerConflict: The batch is not ours (any more).
        """
        ...

    def give_back(self, batch: str, seen: Batch, now: datetime) -> bool:
        """End a batch whose run died; its uploads wait again. False if it is not as it was ``seen``."""
        ...

    def inbox_counts(self) -> dict[tuple[str, str], int]:
        """(pipeline, state) -> uploads that are not done; states are ``waiting`` and ``taken``."""
        ...

    def oldest_upload(self, pipeline: str | None = None) -> datetime | None:
        """When the oldest upload that is not done (of a pipeline, or of all) was put here; None if all are."""
        ...

    def uploads_of(self, uri: str) -> list[UploadRecord]:
        """What was reported of one object: all versions, by all pipelines, oldest first."""
        ...

    def prune_inbox(self, before: datetime, *, pipeline: str | None = None, dry_run: bool = False) -> int:
        """Forget uploads that were done before a time, and ended batches; return how many uploads.

        Args:
            pipeline: Only of this one.
            dry_run: Count, and change nothing.
        """
        ...
