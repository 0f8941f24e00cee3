"""The service's parts, put together once, and their life."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from starlette.requests import Request

from config.event_settings import EventSettings
from config.load import load_pipeline
from config.pipeline import Pipeline
from config.settings import Settings
from deployments.services.events.drain import Drain
from deployments.services.events.fetching import Fetch, fetch
from deployments.services.events.gate import Gate
from deployments.services.events.meters import Meters
from deployments.services.events.puller import Puller
from deployments.services.events.queues.base import Queue
from deployments.services.events.reception import Reception
from deployments.services.events.refused import Refused
from deployments.services.events.starters import PrefectStarter, ProcessStarter, Starter
from deployments.services.events.writer import Writer
from deployments.services.exposure import holds_key, is_loopback, refuse_open_address
from deployments.services.health import Check, Health
from deployments.services.ledger_metrics import LedgerWatch
from deployments.services.metrics import Metrics
from tasks.domain.errors import InputInvalid, LedgerUnavailable
from tasks.ledger.base import Ledger
from tasks.ledger.open import open_ledger
from tasks.match import Matcher

_log = logging.getLogger("reelroute.events")
# Threads besides those of the queues: for the ledger, signatures, and whoever asks how we are.
_THREADS = 16


def utc_now() -> datetime:
    """The time, timezone-aware."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Service:
    """Everything that answers, reads and drains.

    Attributes:
        watched_by_others: We listen to more than this machine, so that watching needs a key.
        metrics_key: Of who watches; without one it is the senders' key.
    """

    ledger: Ledger
    gate: Gate
    reception: Reception
    drain: Drain
    starter: Starter
    metrics: Metrics
    watch: LedgerWatch
    pullers: list[Puller]
    watched_by_others: bool = False
    metrics_key: str = field(default="", repr=False)
    _died: bool = field(default=False, init=False)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write, drain and pull for the length of the block."""
        # Each queue has a thread that waits for it: whoever checks a signature must find one, too.
        threads = ThreadPoolExecutor(_THREADS + len(self.pullers), thread_name_prefix="events")
        asyncio.get_running_loop().set_default_executor(threads)
        works = [self.reception.writer.run(), self.drain.run(), *(puller.run() for puller in self.pullers)]
        tasks = [asyncio.create_task(work) for work in works]
        for task in tasks:
            task.add_done_callback(self._note_end)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.starter.close()
            await asyncio.to_thread(self.watch.close)
            await asyncio.to_thread(self.ledger.close)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """A part that ended by itself is a bug; the service says so rather than looking well."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._died = True
            _log.critical("a part of the service died of %s: restart it", type(error).__name__, exc_info=error)

    @property
    def health(self) -> Health:
        """What we need: the ledger, somebody who runs batches, and the queues that we read."""
        checks: dict[str, Check] = {"ledger": self.watch.check, "runs": self.drain.check}
        # Anybody may look: the last part of a queue's name says which, and not whose account it is in.
        for number, puller in enumerate(self.pullers, 1):
            checks[f"queue {number} {puller.name.rsplit('/', 1)[-1]}"] = puller.check
        return Health(checks, is_alive=lambda: not self._died)

    def check_watcher(self, request: Request) -> None:
        """Let pass who may read the counters.

        Raises:
            Refused: Watching needs a key, which is missing or wrong.
        """
        if self.metrics_key:
            if not holds_key(request, self.metrics_key):
                raise Refused(401, "wrong_key", "the key of who watches is missing or wrong")
        elif self.watched_by_others:
            self.gate.check_watcher(request.headers, request.query_params)


def build_service(
    settings: Settings,
    events: EventSettings,
    *,
    watched_by_others: bool = False,
    load: Fetch = fetch,
    starter: Starter | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Service:
    """Put a service together.

    Args:
        load: Fetches certificates.
        starter: Starts runs; by default Prefect's server if one is configured, else processes.

    Raises:
        InputInvalid: A pipeline file is wrong, or there is none.
        LedgerUnusable: The ledger cannot be opened, and waiting would not help. (For one that is
            only out of reach the service waits.)
    """
    pipelines = load_pipelines(events)
    url = settings.ledger_url.get_secret_value()
    ledger = open_ledger(url, when_away=_say_away)
    watch = LedgerWatch(lambda: open_ledger(url, create=False))
    metrics = Metrics(watch)
    meters = Meters(metrics.registry)
    reception = Reception(Matcher([one for _, one in pipelines], settings), Writer(ledger, clock), meters, clock)
    starter = starter or _starter(events)
    references = {pipeline.name: reference for reference, pipeline in pipelines}
    return Service(
        ledger=ledger,
        gate=Gate(events, load, clock),
        reception=reception,
        drain=Drain(ledger, events, references, starter, meters, clock),
        starter=starter,
        metrics=metrics,
        watch=watch,
        pullers=[Puller(queue, reception, watch.check) for queue in _queues(events)],
        watched_by_others=watched_by_others,
        metrics_key=settings.metrics_key.get_secret_value() if settings.metrics_key else "",
    )


def _say_away(error: LedgerUnavailable) -> None:
    _log.error("started without the ledger, senders are asked to come again: %s", error.message)


def check_exposure(events: EventSettings, host: str, metrics_key: str = "") -> None:
    """Let the service listen beyond loopback only if there is somebody to believe.

    Raises:
        InputInvalid: ``host`` can be reached from other machines, and no sender is set up, or the key of
            who watches can be guessed.
    """
    if metrics_key:
        refuse_open_address(host, metrics_key, service="upload-event service", variable="REELROUTE_METRICS_KEY")
    if not events.believes_somebody and not is_loopback(host):
        raise InputInvalid(
            f"the upload-event service would listen on {host or 'every address'}, and could believe nobody there",
            hint="set REELROUTE_EVENTS_KEY, _SNS_TOPICS, or the audience of a sender's tokens; or listen on 127.0.0.1",
        )


def load_pipelines(events: EventSettings) -> list[tuple[str, Pipeline]]:
    """(what it is called, pipeline) of those that uploads start.

    Raises:
        InputInvalid: One is wrong, two have one name, or there is none.
    """
    named = events.pipelines or tuple(sorted(path.stem for path in Path("config/pipelines").glob("*.y*ml")))
    found: dict[str, tuple[str, Pipeline]] = {}
    for reference in named:
        pipeline = load_pipeline(reference)
        if pipeline.name in found:
            raise InputInvalid(f"two of the pipelines are both named {pipeline.name}", hint="name each once")
        # A run may be started in another working directory.
        found[pipeline.name] = str(Path(reference).absolute()) if "/" in reference else reference, pipeline
    if not found:
        raise InputInvalid(
            "no pipeline is to be started by uploads",
            hint="name some: `reelroute serve events PIPELINE`, or REELROUTE_EVENTS_PIPELINES",
        )
    return list(found.values())


def _queues(events: EventSettings) -> list[Queue]:
    queues: list[Queue] = []
    if events.sqs_queues:
        from deployments.services.events.queues.sqs import SqsQueue

        queues += [SqsQueue(url) for url in events.sqs_queues]
    if events.pubsub_subscriptions:
        from deployments.services.events.queues.pubsub import PubsubQueue

        queues += [PubsubQueue(name) for name in events.pubsub_subscriptions]
    if events.azure_queues:
        from deployments.services.events.queues.azure_queue import AzureQueue

        queues += [AzureQueue(url) for url in events.azure_queues]
    return queues


def _starter(events: EventSettings) -> Starter:
    from prefect.settings import PREFECT_API_URL

    return PrefectStarter(events.deployment) if PREFECT_API_URL.value() else ProcessStarter()
