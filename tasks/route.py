"""Take stored results to the pipeline's routes: prepare each video once, deliver it to every route."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import stamina
from prefect import get_run_logger, task

from tasks.collect import fetch_results, read_results
from tasks.domain.errors import LedgerConflict, ReelrouteError, ResultInvalid, ResultPruned, Retryable, StillProcessing
from tasks.domain.job import DeliveryState, Failure, JobState
from tasks.ledger.base import JobRecord
from tasks.plan import probe_video
from tasks.policies import STEP
from tasks.predictions.track import assign_tracks
from tasks.progress import watcher
from tasks.run import Run
from tasks.sinks.base import Delivery, Receipt, Sink
from tasks.stop import CutShort
from tasks.storage.ranged import open_ranged
from tasks.submit import failure_of
from tasks.unforeseen import discreet_step

T = TypeVar("T")

# Rendering an hour of video takes about that long on one core.
DELIVERY_LEASE = timedelta(hours=2)
ATTEMPTS = 4

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Delivered:
    """How a batch went to one route.

    Attributes:
        route: The route's name.
        videos: Names of the videos that it has now.
        failures: Video name -> why it has not.
        warnings: What was left out or approximated, in sentences.
        again: Job keys of those that the other side is still preparing for: worth another try
            before the run ends.
    """

    route: str
    videos: list[str] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)


@task(name="deliver", task_run_name="{route}, videos: {count}", **STEP)
@discreet_step
async def deliver_batch(run: Run, route: str, count: int, sink: Sink, batch: Sequence[Delivery]) -> Delivered:
    """Deliver videos to one route, one after the other; one that fails does not stop the rest."""
    run_log = get_run_logger()
    done = Delivered(route)
    taken: list[tuple[Delivery, Receipt]] = []
    tried: list[Delivery] = []
    try:
        for delivery in batch:
            if run.stop.asked:
                break
            tried.append(delivery)
            ended = await run.stop.finish(asyncio.to_thread(deliver_one, run, route, sink, delivery))
            if isinstance(ended, Receipt):
                taken.append((delivery, ended))
            elif ended is not None:
                done.failures[delivery.video.name] = ended
        if taken:
            await run.stop.finish(asyncio.to_thread(finish_batch, run, route, sink, taken, done))
    except CutShort:
        await asyncio.to_thread(leave, run, route, tried)
    for delivery in tried:
        problem = done.failures.get(delivery.video.name)
        if problem is not None:
            run_log.error("%s: %s: %s", delivery.video, problem.code, problem.message)
        watcher.get().delivered(route, str(delivery.video), problem.code if problem else "")
    for warning in done.warnings:
        run_log.warning("%s", warning)
    run_log.info("%d of %d delivered", len(done.videos), count)
    return done


def deliver_one(run: Run, route: str, sink: Sink, delivery: Delivery) -> Receipt | Failure | None:
    """Deliver one video under its lease; None when another process is at it.

    A failure is recorded; success is not yet, because what spans the batch is still to be written.
    """
    name = (run.pipeline.name, delivery.job_key, route)
    if run.ledger.claim_delivery(*name, run.owner, DELIVERY_LEASE, run.clock()) is None:
        return None
    ended = _attempt(lambda: sink.deliver(delivery), route, delivery)
    if isinstance(ended, Trouble):
        run.ledger.finish_delivery(*name, run.owner, ended.leaves, run.clock(), failure=ended.failure)
        return ended.failure
    return ended


def leave(run: Run, route: str, deliveries: Sequence[Delivery]) -> None:
    """Give back what is under way, to be delivered again by the next run; what has ended stays as it is."""
    for delivery in deliveries:
        with suppress(LedgerConflict):
            run.ledger.finish_delivery(
                run.pipeline.name, delivery.job_key, route, run.owner, DeliveryState.PENDING, run.clock()
            )


def finish_batch(run: Run, route: str, sink: Sink, taken: Sequence[tuple[Delivery, Receipt]], done: Delivered) -> None:
    """Write what spans the batch, then record its videos as delivered (or not, and why)."""
    deliveries = [delivery for delivery, _ in taken]
    ended = _attempt(lambda: sink.finish(deliveries), route, deliveries[0])
    for delivery, receipt in taken:
        finish = partial(run.ledger.finish_delivery, run.pipeline.name, delivery.job_key, route, run.owner)
        trouble = ended if isinstance(ended, Trouble) else _refusal(ended, delivery)
        if trouble is not None:
            finish(trouble.leaves, run.clock(), failure=trouble.failure)
            done.failures[delivery.video.name] = trouble.failure
            if trouble.failure.code == StillProcessing.code:
                done.again.append(delivery.job_key)
        else:
            finish(DeliveryState.DELIVERED, run.clock(), outputs=receipt.outputs)
            done.videos.append(delivery.video.name)
            done.warnings += [f"{delivery.video}: {warning}" for warning in receipt.warnings]
    if isinstance(ended, Receipt):
        done.warnings += ended.warnings


@dataclass(frozen=True, slots=True)
class Trouble:
    """A step of a sink that failed.

    Attributes:
        failure: Why.
        leaves: Pending where it may pass (a store that is busy), so that the next run tries again;
            else failed, until somebody looks at it.
    """

    failure: Failure
    leaves: DeliveryState


def _attempt(step: Callable[[], T], route: str, delivery: Delivery) -> T | Trouble:
    """Take a step of a sink, with retries of what may pass; the border at which its trouble stops."""
    try:
        return stamina.retry(on=Retryable, attempts=ATTEMPTS)(step)()
    except ReelrouteError as error:
        return _trouble(error)
    except Exception as error:
        # A fault of ours, or of a library, that nobody foresaw costs this delivery, not the night.
        log.exception("%s: route %s failed unexpectedly", delivery.video, route)
        what = f"{delivery.video}: {type(error).__name__} in route {route}"
        return Trouble(Failure("route", "unexpected", what, "the log has the details"), DeliveryState.FAILED)


def _trouble(error: ReelrouteError) -> Trouble:
    leaves = DeliveryState.PENDING if isinstance(error, Retryable) else DeliveryState.FAILED
    return Trouble(failure_of("route", error), leaves)


def _refusal(ended: Receipt | None, delivery: Delivery) -> Trouble | None:
    """What a batch's end says against one of its videos, if anything."""
    error = ended.refused.get(delivery.job_key) if ended else None
    return _trouble(error) if error else None


def give_up_results(run: Run, job: JobRecord, error: ResultPruned | ResultInvalid) -> None:
    """Record that a job's results are wanted, and gone or damaged: it failed, and a replay can take it up again."""
    with suppress(LedgerConflict):  # somebody else has seen to it
        if run.ledger.claim(job.key, run.owner, run.lease, run.clock()) is not None:
            failure = Failure("store", error.code, error.message, error.hint or ResultPruned.default_hint)
            run.ledger.move(job.key, JobState.SUCCEEDED, JobState.FAILED, run.owner, run.clock(), failure=failure)
    run.ledger.release(job.key, run.owner)


def prepare(run: Run, job: JobRecord, folder: Path) -> Delivery:
    """Bring one job's results back from the results store, parsed and tracked, ready for any route.

    Raises:
        ResultPruned: The results are not stored any more.
        ResultInvalid: What is stored is damaged, or not of this job.
        ReelrouteError: The stored results or the video cannot be read (any more).
    """
    raw = folder / f"{job.key}.json"
    fetch_results(run, job, raw)
    info = job.info or probe_video(run.stores, job.video)
    store, key = run.stores.locate(job.video)
    return Delivery(
        video=job.video,
        info=info,
        job_key=job.key,
        spec=job.spec,
        model_classes=run.model_classes,
        predictions=assign_tracks(read_results(run, job, raw)),
        results_file=raw,
        open_video=partial(open_ranged, store, key, job.video.size),
    )
