"""Shards and kept pipelines in a SQL database; :mod:`tasks.ledger.store` builds on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from tasks.ledger import shards as shard_rows
from tasks.ledger.columns import aware
from tasks.ledger.database import Database
from tasks.ledger.inbox_store import named
from tasks.ledger.shard_base import ShardNotes, ShardRecord


class SqlShards:
    """Implements :class:`tasks.ledger.shard_base.ShardLedger`, which says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_shards(
        self, pipeline: str, batch: str, parts: Sequence[Sequence[str]], spare: dict[str, float], now: datetime
    ) -> list[str]:
        """Write a list of jobs down as shards; return their ids."""
        asked = pipeline, batch, parts, json.dumps(spare), aware(now)
        return self._database.change(lambda connection: shard_rows.add_shards(connection, *asked))

    def shard(self, shard: str) -> ShardRecord | None:
        """Read one shard."""
        return self._database.look(lambda connection: shard_rows.read_shard(connection, shard))

    def claim_shard(
        self, batch: str, owner: str, lease: timedelta, now: datetime, *, first: str = "", only: bool = False
    ) -> ShardRecord | None:
        """Take a shard that is free, or renew the lease of one that is ours."""
        asked = batch, named(owner), lease, aware(now), first, only
        return self._database.change(lambda connection: shard_rows.claim_shard(connection, *asked))

    def finish_shard(self, shard: str, owner: str, notes: ShardNotes, now: datetime) -> bool:
        """Note that a shard is worked through."""
        asked = shard, named(owner), notes, aware(now)
        return self._database.change(
            lambda connection: shard_rows.finish_shard(connection, *asked),
            lambda connection: shard_rows.find_finished_shard(connection, shard, notes, aware(now)),
        )

    def release_shard(self, shard: str, owner: str) -> None:
        """Give the lease back."""
        self._database.change(lambda connection: shard_rows.release_shard(connection, shard, named(owner)))

    def shards(self, batch: str) -> list[ShardRecord]:
        """The shards of a batch, without their jobs."""
        return self._database.look(lambda connection: shard_rows.read_batch(connection, batch))

    def keep_pipeline(self, name: str, text: str, now: datetime) -> None:
        """Remember the text of a pipeline that has no file."""
        self._database.change(lambda connection: shard_rows.keep_pipeline(connection, name, text, aware(now)))

    def kept_pipeline(self, name: str) -> str | None:
        """The text of a pipeline that has no file."""
        return self._database.look(lambda connection: shard_rows.kept_pipeline(connection, name))
