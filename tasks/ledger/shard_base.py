"""What a run asks of the ledger to share its work with other processes: shards, and pipelines without a file.

A shard is a list of jobs that one process works through. A large run writes its list down as
shards; whoever has a hand free claims one under a lease, and a shard whose owner died is there to
be claimed again. Which process submits a job is decided by the job's own lease, as everywhere, so a
shard in two hands costs work and never money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from tasks.domain.job import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardNotes:
    """What a process that worked through a shard has to tell, beyond what the ledger shows of its jobs.

    Attributes:
        passing: Job key -> fault that may pass.
        warnings: In sentences.
        stopped: What ended its submissions early, or None.
        left_out: Limit of the budget -> jobs that it left for another run.
    """

    passing: dict[str, Failure] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    stopped: Failure | None = None
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """One shard.

    Attributes:
        id: Unique; what a flow run's parameter says.
        batch: The shards of one run have this in common.
        pipeline: Whose jobs they are.
        jobs: Keys of the jobs, in order.
        began_at: When the run began; for whoever takes a shard, "today" is that day.
        spare: Share of the run's budget that is left for second chances: limit -> how much.
        done: Whether somebody has worked through it.
        notes: What they had to tell; None before.
        lease_owner, lease_until: Who is working on it, until when; "" and None if nobody.
    """

    id: str
    batch: str
    pipeline: str
    jobs: tuple[str, ...]
    began_at: datetime
    spare: dict[str, float]
    done: bool
    notes: ShardNotes | None
    lease_owner: str
    lease_until: datetime | None


class ShardLedger(Protocol):
    """The part of :class:`tasks.ledger.base.Ledger` that many processes share their work by."""

    def add_shards(
        self, pipeline: str, batch: str, parts: Sequence[Sequence[str]], spare: dict[str, float], now: datetime
    ) -> list[str]:
        """Write a list of jobs down as shards, in order; return their ids. Known ones of the batch stay as they are.

        Args:
            now: When the run began.
        """
        ...

    def shard(self, shard: str) -> ShardRecord | None:
        """Read one shard."""
        ...

    def claim_shard(
        self, batch: str, owner: str, lease: timedelta, now: datetime, *, first: str = "", only: bool = False
    ) -> ShardRecord | None:
        """Take a shard of the batch that is not done and that nobody holds (or whose lease has passed, or is ours).

        Args:
            first: Take this one if it can be taken.
            only: Take no other; so a lease is renewed.
        """
        ...

    def finish_shard(self, shard: str, owner: str, notes: ShardNotes, now: datetime) -> bool:
        """Note that a shard is worked through, and give its lease back; False if it was not ours any more."""
        ...

    def release_shard(self, shard: str, owner: str) -> None:
        """Give the lease back, with the shard not done, if ``owner`` still holds it."""
        ...

    def shards(self, batch: str) -> list[ShardRecord]:
        """The shards of a batch, in order, without their jobs."""
        ...

    def keep_pipeline(self, name: str, text: str, now: datetime) -> None:
        """Remember the text of a pipeline that has no file, under its name."""
        ...

    def kept_pipeline(self, name: str) -> str | None:
        """The text of a pipeline that has no file."""
        ...
