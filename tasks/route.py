"""Take stored results to the pipeline's routes: prepare each video once, deliver it to every route."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import stamina
from prefect import get_run_logger, task

from tasks.collect import fetch_results, read_results
from tasks.domain.errors import ReelrouteError, Retryable
from tasks.domain.job import DeliveryState, Failure
from tasks.ledger.base import JobRecord
from tasks.plan import probe_video
from tasks.policies import STEP
from tasks.predictions.track import assign_tracks
from tasks.progress import watcher
from tasks.run import Run
from tasks.sinks.base import Delivery, Receipt, Sink
from tasks.storage.ranged import open_ranged
from tasks.submit import failure_of

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
    """

    route: str
    videos: list[str] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@task(name="deliver", task_run_name="{route}, {count} videos", **STEP)
async def deliver_batch(run: Run, route: str, count: int, sink: Sink, batch: Sequence[Delivery]) -> Delivered:
    """Deliver videos to one route, one after the other; one that fails does not stop the rest."""
    run_log = get_run_logger()
    done = Delivered(route)
    new = []
    for delivery in batch:
        ended = await asyncio.to_thread(deliver_one, run, route, sink, delivery)
        if isinstance(ended, Failure):
            done.failures[delivery.video.name] = ended
            run_log.error("%s: %s: %s", delivery.video, ended.code, ended.message)
        elif ended is not None:
            new.append(delivery)
            done.videos.append(delivery.video.name)
            done.warnings += [f"{delivery.video}: {warning}" for warning in ended.warnings]
        watcher.get().delivered(route, str(delivery.video), ended.code if isinstance(ended, Failure) else "")
    if new and (receipt := await asyncio.to_thread(sink.finish, new)):
        done.warnings += receipt.warnings
    for warning in done.warnings:
        run_log.warning("%s", warning)
    run_log.info("%d of %d delivered", len(done.videos), count)
    return done


def deliver_one(run: Run, route: str, sink: Sink, delivery: Delivery) -> Receipt | Failure | None:
    """Deliver one video under its lease and record how that ended.

    Returns the sink's receipt, or why it failed, or None when another process is at it. What may
    pass (a store that is busy) leaves the delivery pending for the next run; the rest is failed
    until somebody looks at it.
    """
    name = (run.pipeline.name, delivery.job_key, route)
    if run.ledger.claim_delivery(*name, run.owner, DELIVERY_LEASE, run.clock()) is None:
        return None
    finish = partial(run.ledger.finish_delivery, *name, run.owner)
    try:
        receipt = stamina.retry(on=Retryable, attempts=ATTEMPTS)(sink.deliver)(delivery)
    except ReelrouteError as error:
        failure = failure_of("route", error)
        to = DeliveryState.PENDING if isinstance(error, Retryable) else DeliveryState.FAILED
    except Exception as error:
        # The border at which one video's trouble stops: a fault of ours, or of a library, that
        # nobody foresaw costs this delivery, not the night.
        log.exception("%s: route %s failed unexpectedly", delivery.video, route)
        failure = Failure("route", "unexpected", f"{delivery.video}: {type(error).__name__} in route {route}")
        to = DeliveryState.FAILED
    else:
        finish(DeliveryState.DELIVERED, run.clock(), outputs=receipt.outputs)
        return receipt
    finish(to, run.clock(), failure=failure)
    return failure


def prepare(run: Run, job: JobRecord, folder: Path) -> Delivery:
    """Bring one job's results back from the results store, parsed and tracked, ready for any route.

    Raises:
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
