"""Route finished videos in batches while others are still being inferred."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from tasks.domain.errors import ReelrouteError, ResultInvalid, ResultPruned
from tasks.domain.job import DeliveryState, JobState
from tasks.domain.wording import count_of
from tasks.ledger.base import JobRecord
from tasks.predictions.coverage import frames_not_inferred
from tasks.report import Outcome
from tasks.route import DELIVERY_LEASE, Delivered, deliver_batch, give_up_results, prepare
from tasks.run import Run
from tasks.selection import due, schedule_selections
from tasks.sink_setup import open_sinks
from tasks.sinks.base import Delivery
from tasks.submit import failure_of

# Predictions of so many videos are in memory at once.
BATCH = 8


class Router:
    """Takes the keys of succeeded jobs and delivers them to every route that lacks them.

    Entered, it first takes up what earlier runs (or other pipelines, which may have paid for
    the job) left undelivered; on leaving it finishes what it was given.

    Args:
        outcome: Where deliveries and warnings are counted.
        first: Keys to take up instead of everything that was left.
    """

    def __init__(self, run: Run, outcome: Outcome, first: Iterable[str] | None = None) -> None:
        self._run = run
        self._outcome = outcome
        self._first = first
        self._sinks = open_sinks(run)
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._again: list[str] = []

    async def __aenter__(self) -> Self:
        for key in await asyncio.to_thread(self._left_over) if self._first is None else self._first:
            self.put(key)
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
            return
        self._queue.put_nowait(None)
        await self._worker
        if any(due(self._run.pipeline, self._outcome)) and not self._run.stop.asked:
            await schedule_selections(self._run, self._outcome)

    def put(self, key: str) -> None:
        """Hand over a job whose results are stored."""
        self._queue.put_nowait(key)

    def _left_over(self) -> set[str]:
        """Succeeded jobs that a route lacks: of today's listing, and those that a dead run left half done."""
        run = self._run
        begun = run.ledger.deliveries(run.pipeline.name, [DeliveryState.PENDING, DeliveryState.DELIVERING])
        lacking = run.ledger.undelivered(run.pipeline.name, run.fingerprints, seen_since=run.started_at)
        return {delivery.job_key for delivery in begun} | set(lacking)

    def _lacking(self, key: str) -> list[str]:
        """Names of the routes that are to get this job's predictions; failed ones wait for a replay."""
        run = self._run
        records = run.ledger.plan_deliveries(run.pipeline.name, key, run.fingerprints, run.clock())
        return [record.route for record in records if record.state is not DeliveryState.FAILED]

    async def _work(self) -> None:
        open_ended = True
        while open_ended:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < BATCH:
                batch.append(self._queue.get_nowait())
            open_ended = None not in batch
            with self._run.work_folder() as folder:
                await self._deliver([key for key in batch if key is not None], folder)
        # By now the other side may be ready for what it was not.
        again, self._again = list(dict.fromkeys(self._again)), []
        for start in range(0, len(again), BATCH):
            with self._run.work_folder() as folder:
                await self._deliver(again[start : start + BATCH], folder)

    async def _deliver(self, keys: list[str], folder: Path) -> None:
        batches: dict[str, list[Delivery]] = {}
        for key in keys:
            if self._run.stop.asked:
                return  # the ledger keeps them as pending
            delivery, routes = await asyncio.to_thread(self._prepare, key, folder)
            if delivery is not None:
                for route in routes:
                    batches.setdefault(route, []).append(delivery)
        ended = [
            deliver_batch(self._run, route, len(batch), self._sinks[route], batch) for route, batch in batches.items()
        ]
        for done in await asyncio.gather(*ended):
            self._count(done)

    def _count(self, done: Delivered) -> None:
        self._again += done.again
        self._outcome.delivered[done.route] += len(done.videos)
        self._outcome.warnings += [f"{done.route}: {warning}" for warning in done.warnings]

    def _prepare(self, key: str, folder: Path) -> tuple[Delivery | None, list[str]]:
        run = self._run
        job = run.ledger.job(key, pipeline=run.pipeline.name)
        if job is None or job.state is not JobState.SUCCEEDED or self._is_superseded(job):
            return None, []
        routes = self._lacking(key)
        if not routes:
            return None, []
        try:
            delivery = prepare(run, job, folder)
        except (ResultPruned, ResultInvalid) as error:
            give_up_results(run, job, error)
            return None, []
        except ReelrouteError as error:
            self._refuse(job, routes, error)
            return None, []
        if missing := frames_not_inferred(delivery.predictions):
            of = f"{missing} of {count_of(len(delivery.predictions.frame_index), 'frame')}"
            self._outcome.warnings.append(f"{job.video}: the service did not infer {of} (null in the results)")
        return delivery, routes

    def _is_superseded(self, job: JobRecord) -> bool:
        """Say whether routes should show other results of the same video than these.

        A job of another spec, or of a version that was not listed last, may end late; its results
        are kept.
        """
        run = self._run
        return run.ledger.current_job(run.pipeline.name, job.video.uri, run.spec) != job.key

    def _refuse(self, job: JobRecord, routes: list[str], error: ReelrouteError) -> None:
        """Record that a job's results could not be brought to any route."""
        run = self._run
        for route in routes:
            name = (run.pipeline.name, job.key, route)
            if run.ledger.claim_delivery(*name, run.owner, DELIVERY_LEASE, run.clock()):
                end = partial(run.ledger.finish_delivery, *name, run.owner, DeliveryState.FAILED, run.clock())
                end(failure=failure_of("route", error))
