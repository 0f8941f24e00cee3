"""The inbox in a SQL database: one short transaction per call, tried again while the database is out of reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from tasks.domain.upload import UploadEvent
from tasks.ledger import batches as batch_rows
from tasks.ledger import uploads as upload_rows
from tasks.ledger.clock import lease_time
from tasks.ledger.columns import aware
from tasks.ledger.database import Database
from tasks.ledger.inbox import Batch, BatchState, Received, Upload, UploadRecord, Waiting


class SqlInbox:
    """Implements :class:`tasks.ledger.inbox.Inbox`, which says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease_time(self, now: datetime) -> datetime:
        """Our time by the clock of leases."""
        at = aware(now)
        return self._database.look(lambda connection: lease_time(connection, at))

    def put_uploads(self, uploads: Sequence[tuple[str, UploadEvent]], now: datetime) -> list[Received]:
        """Record events that are new. One whose commit was made and whose answer was lost counts as a duplicate."""
        asked = uploads, aware(now)
        return self._database.change(lambda connection: upload_rows.put_all(connection, *asked))

    def waiting(self, now: datetime) -> dict[str, Waiting]:
        """By pipeline, what waits and is due."""
        at = aware(now)
        return self._database.look(lambda connection: upload_rows.waiting(connection, at))

    def form_batch(self, pipeline: str, owner: str, lease: timedelta, now: datetime, *, most: int) -> Batch | None:
        """Take uploads that are due into a new batch.

        One whose commit was made and whose answer was lost is found among the formed ones, once its lease has passed.
        """
        asked = pipeline, named(owner), lease, aware(now), most
        return self._database.change(lambda connection: batch_rows.form(connection, *asked))

    def batches(self, states: Sequence[BatchState]) -> list[Batch]:
        """Batches in some states, oldest first."""
        return self._database.look(lambda connection: batch_rows.in_states(connection, states))

    def hold_batch(self, batch: str, owner: str, lease: timedelta, now: datetime) -> bool:
        """Take over a formed batch."""
        asked = batch, named(owner), lease, aware(now)
        return self._database.change(lambda connection: batch_rows.hold(connection, *asked))

    def start_batch(self, batch: str, run: str, lease: timedelta, now: datetime) -> None:
        """Record that a batch's run exists."""
        asked = batch, run, lease, aware(now)
        self._database.change(lambda connection: batch_rows.start(connection, *asked))

    def claim_batch(self, batch: str, owner: str, lease: timedelta, now: datetime) -> list[Upload] | None:
        """Take or renew a batch as its run."""
        asked = batch, named(owner), lease, aware(now)
        return self._database.change(lambda connection: batch_rows.claim(connection, *asked))

    def finish_batch(self, batch: str, owner: str, outcomes: Mapping[str, str], now: datetime) -> int:
        """End a batch that is ours."""
        asked = batch, named(owner), outcomes, aware(now)
        return self._database.change(
            lambda connection: batch_rows.finish(connection, *asked),
            lambda connection: batch_rows.was_finished(connection, batch, outcomes),
        )

    def give_back(self, batch: str, seen: Batch, now: datetime) -> bool:
        """End a batch whose run died."""
        asked = batch, seen, aware(now)
        return self._database.change(lambda connection: batch_rows.give_back(connection, *asked))

    def inbox_counts(self) -> dict[tuple[str, str], int]:
        """(pipeline, state) -> uploads that are not done."""
        return self._database.look(upload_rows.counts)

    def oldest_upload(self, pipeline: str | None = None) -> datetime | None:
        """When the oldest upload that is not done was put here."""
        return self._database.look(lambda connection: upload_rows.oldest(connection, pipeline))

    def uploads_of(self, uri: str) -> list[UploadRecord]:
        """What was reported of one object."""
        return self._database.look(lambda connection: upload_rows.of_object(connection, uri))

    def prune_inbox(self, before: datetime, *, pipeline: str | None = None, dry_run: bool = False) -> int:
        """Forget what was done before a time."""
        step = partial(upload_rows.prune, before=aware(before), pipeline=pipeline, dry_run=dry_run)
        return self._database.look(step) if dry_run else self._database.change(step)


def named(owner: str) -> str:
    """The owner of a lease, who has a name.

    Raises:
        ValueError: It has none.
    """
    if not owner:
        raise ValueError("a lease needs an owner with a name")
    return owner
