"""What one run works with: its pipeline, ledger, service, stores and clock, put together once.

This is where configuration becomes objects. The steps beside it take a :class:`Run` and do
the work; nothing here submits, polls or delivers.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from config.pipeline import Pipeline
from config.settings import Settings
from tasks.breaker import Breaker
from tasks.credentials import Blocks, load_credentials
from tasks.domain.errors import LedgerUnavailable, LedgerUnusable
from tasks.domain.job import Failure, InferenceSpec, JobState
from tasks.endpoints import any_private
from tasks.inference.base import InferenceBackend, ModelInfo
from tasks.inference.local import local_service
from tasks.inference.registry import open_backend
from tasks.job_ids import JobIds, adopt_job_ids
from tasks.kept import named_pipeline
from tasks.labelbox_setup import check_uploads
from tasks.labelbox_style import check_styles, fingerprint_of
from tasks.leaving import require_service_that_stays
from tasks.ledger.base import JobRecord, Ledger, Slots
from tasks.ledger.open import open_ledger
from tasks.log_guard import guard_logs
from tasks.owner import bury_the_dead, clear_dead_work, new_owner, work_prefix, work_root
from tasks.pace import Pace, boot_time_s
from tasks.places import check_places
from tasks.spec import inference_spec
from tasks.stop import Stop, stop
from tasks.storage.loopback import FileUrlSigner, file_url_secret
from tasks.storage.registry import split_source_uri
from tasks.stored import StoredResults
from tasks.stores import Stores, open_results
from tasks.unforeseen import discreet, hint_logged

if TYPE_CHECKING:
    from tasks.choose import Allowance
    from tasks.poll import Doubt

SHORTEST_LEASE = timedelta(minutes=2)
# Questions about jobs, of all jobs together; beyond so many times the poll interval, each is asked less often.
POLLS_PER_S = 50.0
# Submissions of one process: so many seconds' worth at once. Services answer more with 429.
SUBMIT_BURST_S = 2.0


class Run:
    """One execution of one pipeline.

    Attributes:
        pipeline, settings: What the user wrote.
        spec: What is asked of the service for each video.
        models: Type and classes of each model, looked up once.
        ledger, backend, results: Where jobs are recorded, run, and their results kept.
        service: Base URL of the service.
        stores: Where videos and routes live.
        stored: Of which jobs results are there.
        job_ids: Where ids are kept that the ledger cannot take.
        owner: Names this process in leases.
        started_at: When the run began; videos seen since then are in today's listing.
        lease: Term for which a job is ours without a sign of life.
        clock, sleep, chance: Time and randomness (a number in [0, 1)), replaceable in tests.
        timer: Seconds for measuring how long something took: goes on evenly, whatever becomes of the date.
        stop: Whether the run has been asked to wind down.
        polls: The rate at which the service may be asked about jobs.
        submits: The rate at which it may be given jobs.
        slots: How many of them may be open there at once.
        breaker: Whether it may be given jobs at all.
        allowance: What is left of the budget; None before anything was planned.
        given: The service's id of a job -> its key, as far as this run has heard of it.
        doubts: Key of a job -> what questions about it have brought that say nothing about it.
        said: Key of a job -> what the ledger has as last said of it, where that was changed.
        answered_at: When the service last said how a job is.
        taken: Key of a job -> how often the service took it from this run, until that is counted.
    """

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        settings: Settings,
        spec: InferenceSpec,
        models: tuple[ModelInfo, ...],
        ledger: Ledger,
        backend: InferenceBackend,
        service: str,
        stores: Stores,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        timer: Callable[[], float] = boot_time_s,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.spec = spec
        self.models = models
        self.ledger = ledger
        self.backend = backend
        self.service = service
        self.stores = stores
        self.results = open_results(settings)
        self.stored = StoredResults(self.results)
        self.job_ids = JobIds(settings.home)
        self.owner = new_owner()
        self.started_at = clock()
        self.lease = max(SHORTEST_LEASE, 3 * pipeline.inference.poll_interval)
        self.clock = clock
        self.timer = timer
        self.sleep = sleep
        self.chance = chance
        self.stop = stop.get() or Stop()
        self.polls = Pace(POLLS_PER_S, burst=int(POLLS_PER_S), timer=timer, sleep=self.pause)
        wanted = pipeline.inference
        rate = wanted.submits_per_second
        self.submits = Pace(rate, burst=max(1, int(SUBMIT_BURST_S * rate)), timer=timer, sleep=self.pause)
        self.breaker = Breaker(self.pause)
        self.slots = Slots(wanted.max_in_flight, wanted.deadline, wanted.dedupe == "content")
        self.allowance: Allowance | None = None
        self.given: dict[str, str] = {}
        self.doubts: dict[str, Doubt] = {}
        self.said: dict[str, Failure | None] = {}
        self.answered_at: datetime | None = None
        self.taken: Counter[str] = Counter()
        self._held = 0
        self._renewal: asyncio.Task[None] | None = None

    async def pause(self, seconds: float) -> bool:
        """Sleep, unless or until the run is asked to stop; say whether to go on."""
        return await self.stop.pause(self.sleep(seconds))

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Route name -> hash of what the route does, and of the files that it reads."""
        return {route.name: fingerprint_of(route) for route in self.pipeline.routes}

    async def move(self, job: JobRecord, to: JobState, **facts: Any) -> JobRecord:
        """Record a move of a job that we hold; see :meth:`tasks.ledger.base.Ledger.move`."""
        return await asyncio.to_thread(
            self.ledger.move,
            job.key,
            job.state,
            to,
            self.owner,
            self.clock(),
            pipeline=self.pipeline.name,
            **facts,
        )

    def adopt_job_ids(self) -> None:
        """Give the ledger the job ids that it could not take before; nothing may be submitted until then."""
        adopt_job_ids(self.job_ids, self.ledger, self.owner, self.lease, self.clock())

    async def claim(self, key: str) -> JobRecord | None:
        """Take or renew a job's lease; see :meth:`tasks.ledger.base.Ledger.claim`."""
        return await asyncio.to_thread(
            self.ledger.claim, key, self.owner, self.lease, self.clock(), pipeline=self.pipeline.name
        )

    @asynccontextmanager
    async def holding(self, key: str) -> AsyncIterator[JobRecord | None]:
        """Hold a job's lease, renewed for as long as the block runs; None if somebody else has it."""
        job = await self.claim(key)
        if job is None:
            yield None
            return
        self._held += 1
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
        try:
            yield job
        finally:
            self._held -= 1
            if not self._held and self._renewal is not None:
                self._renewal.cancel()
                self._renewal = None
            # Otherwise the lease ends by itself; what the block did is done.
            with suppress(LedgerUnavailable, LedgerUnusable):
                await asyncio.to_thread(self.ledger.release, key, self.owner)

    async def _renew(self) -> None:
        """Renew everything that we hold, thousands of jobs in one transaction."""
        await self._again(lambda: self.ledger.renew(self.owner, self.lease, self.clock()))

    @asynccontextmanager
    async def renewing(self, renew: Callable[[], object]) -> AsyncIterator[None]:
        """Have a lease of another kind renewed for as long as the block runs."""
        renewal = asyncio.create_task(self._again(renew))
        try:
            yield
        finally:
            renewal.cancel()

    async def _again(self, renew: Callable[[], object]) -> None:
        while True:
            await asyncio.sleep(self.lease.total_seconds() / 3)
            with suppress(LedgerUnavailable, LedgerUnusable):
                await asyncio.to_thread(renew)

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        """A folder on local disk for one video's files, gone afterwards."""
        base = work_root(self.settings)
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base, prefix=work_prefix(), ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    @property
    def model_classes(self) -> dict[str, tuple[str, ...]]:
        """Model key in results JSON -> its class names in the order of their ids."""
        return {info.ref.project: info.classes for info in self.models if info.classes}


@asynccontextmanager
async def open_run(name: str, settings: Settings | None = None, *, wait: bool = True) -> AsyncIterator[Run]:
    """Load a pipeline and open what it needs; close everything at the end.

    Args:
        wait: False for a run that leaves its jobs at the service.

    Raises:
        InputInvalid, LocationMissing: The pipeline file, a setting, a file that it names or a place is wrong.
        AccessDenied, StorageUnavailable: A source cannot be listed, or a route's place not be written.
        AuthRefused, ModelUnknown, ServiceUnavailable: The service says so, before anything is paid.
        Unforeseen: Whatever else is raised, in the block too.
        OntologyMismatch: Labelbox, which a route uploads to, cannot take what the models predict.
    """
    settings = settings or Settings.load()
    guard_logs(settings.log_format)
    async with AsyncExitStack() as stack:
        stack.enter_context(discreet("the run"))
        stack.enter_context(hint_logged())
        pipeline = await asyncio.to_thread(named_pipeline, name, settings)
        if not wait:
            require_service_that_stays(pipeline, settings)
        spec, model_files = inference_spec(pipeline)
        clear_dead_work(settings)
        blocks = await load_credentials(pipeline)
        stores = Stores(pipeline, blocks=blocks)
        ledger = open_ledger(settings.ledger_url.get_secret_value())
        stack.callback(ledger.close)
        await asyncio.to_thread(check_places, pipeline, settings, stores, datetime.now(UTC).date())
        await asyncio.to_thread(bury_the_dead, ledger, datetime.now(UTC))
        service = open_service(pipeline, settings, model_files, stores, blocks, home=settings.home)
        backend, base_url = await stack.enter_async_context(service)
        models = await backend.describe(spec.models)
        check_styles(pipeline, models)
        await asyncio.to_thread(check_uploads, pipeline, settings, models, datetime.now(UTC).date())
        run = Run(
            pipeline=pipeline,
            settings=settings,
            spec=spec,
            models=models,
            ledger=ledger,
            backend=backend,
            service=base_url,
            stores=stores,
        )
        await asyncio.to_thread(run.adopt_job_ids)
        await asyncio.to_thread(run.job_ids.reserve)
        yield run


@asynccontextmanager
async def open_service(
    pipeline: Pipeline, settings: Settings, model_files: dict[str, Path], stores: Stores, blocks: Blocks, *, home: Path
) -> AsyncIterator[tuple[InferenceBackend, str]]:
    """Open the pipeline's backend, with its base URL; where it has no service yet, start one for the block.

    The stores can then sign URLs of local files for a service of our own.

    Args:
        home: State folder of a service that is started.

    Raises:
        ServiceUnavailable: The service does not start.
        AuthRefused: There is no key.
    """
    name = pipeline.inference.backend
    base_url, api_key = settings.service_for(name), settings.roboflow_api_key
    async with AsyncExitStack() as stack:
        if base_url is None:
            private = await asyncio.to_thread(any_private, pipeline, blocks)
            command = service_command(pipeline, model_files, allow_private=private)
            api_key = SecretStr(secrets.token_urlsafe(24))
            service = await stack.enter_async_context(local_service(command, home=home, api_key=api_key))
            base_url = service.base_url
            stores.signer = FileUrlSigner(base_url, file_url_secret(api_key.get_secret_value()))
        backend = open_backend(name, base_url=base_url, api_key=api_key)
        stack.push_async_callback(backend.aclose)
        yield backend, base_url


def service_command(pipeline: Pipeline, model_files: dict[str, Path], *, allow_private: bool = False) -> list[str]:
    """The command that starts our own service for this pipeline's folders and models.

    Args:
        allow_private: A source is in a private network, where the service does not read unless told.
    """
    command = [sys.executable, "-P", "-m", "deployments.cli", "serve", "inference", "--json"]
    command += ["--host", "127.0.0.1", "--port", "0", "--exit-with-parent"]
    for source in pipeline.sources:
        root, _ = split_source_uri(source.uri)
        if root.startswith("file://"):
            command += ["--allow-folder", root.removeprefix("file://")]
    command += ["--allow-private"] if allow_private else []
    for project, path in model_files.items():
        command += ["--model", f"{project}={path}"]
    return command
