"""A large list worked through by many processes: the run that planned it, and workers of any machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from prefect import get_run_logger

from flows.pool import Pool, first_error
from flows.routing import Router
from tasks.choose import Plan
from tasks.domain.errors import LedgerUnavailable
from tasks.domain.job import JobState
from tasks.domain.wording import count_of
from tasks.ledger.base import JobRecord
from tasks.ledger.shard_base import ShardRecord
from tasks.report import Outcome
from tasks.run import Run
from tasks.shards import (
    OPEN,
    add_up,
    batch_of,
    held_until,
    holding_shard,
    jobs_in,
    join,
    left_by_the_dead,
    notes_of,
    split,
)

# Between two looks at what others are doing.
LOOK_S = 5.0
# Between two looks for jobs that a dead process left at the service.
RELIEF_S = 15.0


class Others(Protocol):
    """Whoever takes shards besides this process."""

    async def begin(self, shards: Sequence[str]) -> None:
        """Have shards taken up, as many at once as there are hands; do not wait for it."""
        ...

    async def dismiss(self) -> list[str]:
        """There is nothing left to do; return warnings of what went wrong."""
        ...


@dataclass(slots=True)
class Sharing:
    """One run's list, shared.

    Attributes:
        outcome: Where everything is added up at the end.
        size: Jobs in a shard.
        others: Who helps; each goes on with shards that nobody has begun.
    """

    run: Run
    plan: Plan
    outcome: Outcome
    size: int
    others: Others

    async def infer_all(self) -> None:
        """Have every job of the plan worked through, here and by helpers; end when every shard is done."""
        run = self.run
        left = await asyncio.to_thread(lambda: list(run.ledger.jobs(run.pipeline.name, OPEN[1:])))
        ids = await asyncio.to_thread(split, run, self.plan, self.size)
        await self.others.begin(ids[1:])
        get_run_logger().info("%s in %s", count_of(len(self.plan.todo), "job"), count_of(len(ids), "shard"))
        try:
            async with Router(run, self.outcome) as router, asyncio.TaskGroup() as group:
                group.create_task(Pool(run, self.outcome, router.put).infer_all(self.plan.reuse, left))
                group.create_task(self._until_done(ids[0]))
            # A copy may be of another shard than its original, and comes when all of these are done.
            async with Router(run, self.outcome, first=()) as router:
                await Pool(run, self.outcome, router.put, copies=self.plan.copies).infer_copies()
        except BaseExceptionGroup as many:
            raise first_error(many) from None
        self.outcome.warnings += await self.others.dismiss()
        await asyncio.to_thread(add_up, run, batch_of(ids[0]), self.plan.todo, self.outcome)

    async def _until_done(self, first: str) -> None:
        """Work through shards for as long as one is free, and wait for those that others have."""
        run, batch = self.run, batch_of(first)
        while not run.stop.asked:
            if await work_through(run, batch, first) is not None:
                continue
            if all(shard.done for shard in await asyncio.to_thread(run.ledger.shards, batch)):
                return
            await run.pause(LOOK_S)


async def work_through(run: Run, batch: str, first: str = "") -> Outcome | None:
    """Take a shard that is free and see every job of it to its end; None if none is free."""
    async with holding_shard(run, batch, first) as shard:
        if shard is None:
            return None
        outcome = Outcome()
        jobs = await asyncio.to_thread(jobs_in, run, shard)
        async with Router(run, outcome, [job.key for job in jobs if job.state is JobState.SUCCEEDED]) as router:
            async with _relief(run, router):
                await _infer(run, jobs, outcome, router)
            await _infer_what_the_dead_held(run, shard, outcome, router)
        if not run.stop.asked:
            await asyncio.to_thread(run.ledger.finish_shard, shard.id, run.owner, notes_of(outcome), run.clock())
        return outcome


async def work_as_helper(run: Run, shard: ShardRecord) -> int:
    """Work through one shard, then others of its batch for as long as any is free; return how many."""
    join(run, shard)
    count = 0
    while not run.stop.asked and await work_through(run, shard.batch, shard.id) is not None:
        count += 1
    return count


async def _infer(run: Run, jobs: Sequence[JobRecord], outcome: Outcome, router: Router) -> None:
    todo = [job.key for job in jobs if job.state is JobState.PLANNED]
    left = [job for job in jobs if job.state in OPEN[1:]]
    await Pool(run, outcome, router.put).infer_all(todo, left)


@asynccontextmanager
async def _relief(run: Run, router: Router) -> AsyncIterator[None]:
    """For as long as the block runs, collect what dead processes left at the service.

    Until somebody does, it takes slots of ``max_in_flight``. A dead process may have had all of
    them: everybody else would wait for a slot within their own shards, and nobody take up its.
    """
    over = asyncio.Event()
    collecting = asyncio.create_task(_collect_until(over, run, router))
    try:
        yield
    finally:
        over.set()
        await collecting


async def _collect_until(over: asyncio.Event, run: Run, router: Router) -> None:
    # Counted by whoever takes up their shard, and so are their failures.
    aside = Outcome()
    while not run.stop.asked:
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), RELIEF_S)
            return
        try:
            left = await asyncio.to_thread(left_by_the_dead, run)
            await Pool(run, aside, router.put).collect_once([job for job in left if job.key not in aside.passing])
        except* LedgerUnavailable:
            pass  # so much patience ran out; the shard's own jobs tell of it


async def _infer_what_the_dead_held(run: Run, shard: ShardRecord, outcome: Outcome, router: Router) -> None:
    """Once more for jobs that were somebody else's, after their leases: who lives renews them, and keeps them."""
    until = held_until(run, await asyncio.to_thread(jobs_in, run, shard))
    if until is None:
        return
    left = until - await asyncio.to_thread(run.ledger.lease_time, run.clock())
    if not await run.pause(max(0.0, left.total_seconds()) + 1):
        return
    jobs = await asyncio.to_thread(jobs_in, run, shard)
    await _infer(run, [job for job in jobs if job.key not in outcome.passing], outcome, router)
