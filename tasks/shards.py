"""A large run's list in parts that any process can work through; what is known of them is in the ledger."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime

from tasks.choose import Allowance, Plan, allowance_of
from tasks.domain.budget import Limits
from tasks.domain.errors import (
    AuthRefused,
    InputInvalid,
    LedgerUnavailable,
    LedgerUnusable,
    PlanRefused,
    ReelrouteError,
    ServiceUnavailable,
)
from tasks.domain.job import DeliveryState, Failure, JobState
from tasks.ledger.base import JobRecord
from tasks.ledger.shard_base import ShardNotes, ShardRecord
from tasks.owner import bury_the_dead
from tasks.report import Outcome
from tasks.run import Run
from tasks.submit import failure_of

OPEN = (JobState.PLANNED, JobState.SUBMITTING, JobState.SUBMITTED)
_STOPPERS = {kind.code: kind for kind in (AuthRefused, LedgerUnusable, PlanRefused, ServiceUnavailable)}


def split(run: Run, plan: Plan, size: int) -> list[str]:
    """Write what a run has to submit down as shards of ``size`` jobs; return their ids."""
    batch = f"{run.started_at:%Y%m%dT%H%M}-{secrets.token_hex(4)}"
    parts = [plan.todo[start : start + size] for start in range(0, len(plan.todo), size)]
    return run.ledger.add_shards(run.pipeline.name, batch, parts, spare(run, len(parts)), run.started_at)


def batch_of(shard: str) -> str:
    """The batch that a shard belongs to."""
    return shard.rpartition("-")[0]


def spare(run: Run, shares: int) -> dict[str, float]:
    """What each of so many shards may spend on second chances, so that together they keep to the budget."""
    allowance = run.allowance or allowance_of(run.pipeline, run.ledger, run.clock())
    left = allowance.left
    return {limit: value // shares if limit == "max_videos" else value / shares for limit, value in left.items()}


def join(run: Run, shard: ShardRecord) -> None:
    """Make a run of its own process part of the run that wrote the shard: the same day, its share of the budget."""
    run.started_at = shard.began_at
    budget = run.pipeline.budget
    limits = Limits(**shard.spare, cost_per_1000_frames=budget.cost_per_1000_frames, per=budget.per)
    run.allowance = Allowance(limits)


@asynccontextmanager
async def holding_shard(run: Run, batch: str, first: str = "") -> AsyncIterator[ShardRecord | None]:
    """Hold a shard that nobody else is at work on, renewed for as long as the block runs; None if there is none."""
    await asyncio.to_thread(bury_the_dead, run.ledger, run.clock())

    def claim(*, first: str, only: bool = False) -> ShardRecord | None:
        return run.ledger.claim_shard(batch, run.owner, run.lease, run.clock(), first=first, only=only)

    shard = await asyncio.to_thread(claim, first=first)
    if shard is None:
        yield None
        return
    try:
        async with run.renewing(lambda: claim(first=shard.id, only=True)):
            yield shard
    finally:
        # Otherwise the lease ends by itself, and somebody looks through what is done.
        with suppress(LedgerUnavailable, LedgerUnusable):
            await asyncio.to_thread(run.ledger.release_shard, shard.id, run.owner)


def jobs_in(run: Run, shard: ShardRecord) -> list[JobRecord]:
    """The shard's jobs as they are now."""
    found = (run.ledger.job(key, pipeline=run.pipeline.name) for key in shard.jobs)
    return [job for job in found if job is not None]


def held_until(run: Run, jobs: Sequence[JobRecord]) -> datetime | None:
    """When the last lease of somebody else on an open job passes, by the ledger's clock; None if there is none.

    A process that died with a shard in its hands left its jobs under leases of their own, which
    may last a little longer.
    """
    until = [
        job.lease_until
        for job in jobs
        if job.state in OPEN and job.lease_owner not in ("", run.owner) and job.lease_until is not None
    ]
    return max(until, default=None)


def left_by_the_dead(run: Run) -> list[JobRecord]:
    """The pipeline's jobs that take slots at our service, and that no living process sees to."""
    bury_the_dead(run.ledger, run.clock())
    now = run.ledger.lease_time(run.clock())
    return [
        job
        for job in run.ledger.jobs(run.pipeline.name, [JobState.SUBMITTED])
        if job.service == run.service
        and (not job.lease_owner or (job.lease_until is not None and job.lease_until <= now))
    ]


def notes_of(outcome: Outcome) -> ShardNotes:
    """What a process has to tell of a shard that it worked through."""
    stopped = failure_of("submit", outcome.stopped) if outcome.stopped else None
    return ShardNotes(
        passing=dict(outcome.passing),
        warnings=tuple(outcome.warnings),
        stopped=stopped,
        left_out=dict(outcome.left_out),
    )


def add_up(run: Run, batch: str, todo: Sequence[str], outcome: Outcome) -> None:
    """Count what all processes together did with a run's list, and gather what they had to tell."""
    wanted, began, name = set(todo), run.started_at, run.pipeline.name
    for job in run.ledger.jobs(name, seen_since=began):
        if job.key in wanted:
            outcome.submitted += job.submitted_at is not None and job.submitted_at >= began
            outcome.succeeded += job.state is JobState.SUCCEEDED and job.updated_at >= began
    for delivery in run.ledger.deliveries(name, [DeliveryState.DELIVERED]):
        if delivery.job_key in wanted and delivery.updated_at >= began:
            outcome.delivered[delivery.route] += 1
    for shard in run.ledger.shards(batch):
        if shard.notes is not None:
            outcome.passing |= shard.notes.passing
            outcome.warnings += shard.notes.warnings
            outcome.left_out.update(shard.notes.left_out)
            outcome.stopped = outcome.stopped or _stopped(shard.notes.stopped)


def _stopped(why: Failure | None) -> ReelrouteError | None:
    return _STOPPERS[why.code](why.message, hint=why.hint) if why and why.code in _STOPPERS else None


def missing(shard: str) -> InputInvalid:
    """The error of a worker whose ledger does not have its shard."""
    return InputInvalid(
        f"the ledger has no shard {shard}",
        hint="all workers must share one ledger: set the same REELROUTE_LEDGER_URL (PostgreSQL) on each",
    )
