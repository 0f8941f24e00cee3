"""Shards of a large run on a Dask or Ray cluster: each is a task that opens the run anew where it runs.

What a run has open (clients, ledger, sinks) cannot travel, and need not: the ledger is what all
share. A task is given the pipeline's name and a shard's id; settings and secrets are those of the
cluster worker's own environment.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing import resource_tracker
from time import monotonic
from typing import Any

from prefect import get_run_logger, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.task_runners import TaskRunner

from config.settings import Settings
from flows.helper import help_with, leading
from tasks.domain.errors import InputInvalid, ReelrouteError, ServiceUnavailable
from tasks.domain.wording import count_of
from tasks.policies import STEP
from tasks.run import Run
from tasks.unforeseen import discreet_step

NAMES = {"dask": "Dask", "ray": "Ray"}
# When every shard is done, or a cluster of our own is wound down, tasks have nothing left to do but to end;
# those that wait for a free worker may not.
ENDING_S = 10.0


@task(name="shard", task_run_name="{shard}", **STEP)
@discreet_step
async def work_on_shard(pipeline: str, shard: str, lead: str) -> int:
    """Work through a shard, then others of its batch that are free; return how many."""
    return await help_with(pipeline, shard, lead)


@dataclass(slots=True)
class Cluster:
    """A cluster that takes shards; see :class:`flows.sharing.Others`.

    Attributes:
        runner: Prefect's task runner, connected.
        name: In words.
        pipeline: Name, or absolute path, of the pipeline.
        run: The run whose shards it takes.
        lead: What a cluster of our own follows; "" if it was there before, and goes on when the run is stopped.
        futures: Tasks that were started.
    """

    runner: TaskRunner[PrefectFuture[int]]
    name: str
    pipeline: str
    run: Run
    lead: str
    futures: list[PrefectFuture[int]] = field(default_factory=list)

    async def begin(self, shards: Sequence[str]) -> None:
        """Hand shards to the cluster; returns at once."""
        get_run_logger().info("%s for %s", count_of(len(shards), "shard"), self.name)
        for shard in shards:
            given = {"pipeline": self.pipeline, "shard": shard, "lead": self.lead}
            self.futures.append(await asyncio.to_thread(self.runner.submit, work_on_shard, given))

    async def dismiss(self) -> list[str]:
        """Let tasks end that have nothing left to do; return what went wrong in any, each message once."""
        goes_on = self.run.stop.asked and not self.lead
        until, problems = monotonic() + ENDING_S * (not goes_on), dict[str, None]()
        for future in self.futures:
            await asyncio.to_thread(future.wait, max(0.0, until - monotonic()))
            state = future.state
            if isinstance(state, State) and (state.is_failed() or state.is_crashed()):
                error = await state.result(raise_on_failure=False)  # type: ignore[misc]
                # The text of errors that are not ours may hold anything.
                problems[str(error) if isinstance(error, ReelrouteError) else type(error).__name__] = None
        return [f"a part of the list failed on {self.name}, and was done elsewhere: {text}" for text in problems]


def check_extra(settings: Settings) -> None:
    """Refuse a task runner whose package is not installed.

    Raises:
        InputInvalid: With what to install.
    """
    kind = settings.task_runner
    if kind != "pool" and (find_spec(f"prefect_{kind}") is None or find_spec(_package(kind)) is None):
        raise InputInvalid(
            f"REELROUTE_TASK_RUNNER is {kind}, but prefect-{kind} is not installed",
            hint=f"pip install 'reelroute[{kind}]'",
        )


def _package(kind: str) -> str:
    return {"dask": "distributed"}.get(kind, kind)


@asynccontextmanager
async def open_cluster(run: Run, pipeline: str) -> AsyncIterator[Cluster]:
    """Connect to the cluster of the settings, or start one of this machine's cores for the block.

    Raises:
        ServiceUnavailable: It cannot be reached or started.
        InputInvalid: Its package is not installed.
    """
    settings = run.settings
    check_extra(settings)
    name = f"the {NAMES[settings.task_runner]} cluster"
    if settings.cluster_address:
        name += f" at {settings.cluster_address}"
    async with get_client() as client:
        # A server that Prefect started for this process is told to the workers: they would each start another.
        server = {PREFECT_API_URL: str(client.api_url).rstrip("/")}
    with temporary_settings(server):
        runner = _runner(settings.task_runner, settings.cluster_address)
        try:
            await asyncio.to_thread(_connect, runner)
        except Exception as error:  # noqa: BLE001 (theirs are of many kinds; the border to another service)
            raise ServiceUnavailable(
                f"{name} cannot be reached: {type(error).__name__}",
                hint="nothing was submitted: mend REELROUTE_CLUSTER_ADDRESS or set REELROUTE_TASK_RUNNER=pool",
            ) from None
        try:
            async with nullcontext("") if settings.cluster_address else leading(run) as lead:
                yield Cluster(runner, name, pipeline, run, lead)
        finally:
            await asyncio.to_thread(runner.__exit__, None, None, None)


def _runner(kind: str, address: str | None) -> Any:
    if kind == "dask":
        from prefect_dask.task_runners import DaskTaskRunner

        if address:
            return DaskTaskRunner(address=address, client_kwargs={"timeout": "20s"})
        # A shard is a run of its own: one at a time in each process, which shares nothing with the others.
        return DaskTaskRunner(cluster_kwargs={"threads_per_worker": 1, "dashboard_address": None})
    from prefect_ray import RayTaskRunner

    if address:
        return RayTaskRunner(address=address)
    # One of our own neither listens for other machines nor reports its use, unless it was told to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return RayTaskRunner(init_kwargs={"include_dashboard": False, "_node_ip_address": "127.0.0.1"})


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Leave SIGTERM with who has it: Ray installs a handler that aborts the process three seconds later.

    By the C library, since Python lets only the main thread do it.
    """
    libc, before = ctypes.CDLL(None), ctypes.create_string_buffer(1024)  # larger than any system's struct sigaction
    libc.sigaction(signal.SIGTERM, None, before)
    try:
        yield
    finally:
        libc.sigaction(signal.SIGTERM, before, None)


def _connect(runner: Any) -> None:
    """Enter the runner; Dask's connects only when it is first asked for its client."""
    # Ctrl-C is for us: we still need the workers while we wind up. Python's tracker lets it through when it starts.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with _sigterm_kept():
        runner.__enter__()
    try:
        getattr(runner, "client", None)
    except BaseException:
        runner.__exit__(None, None, None)
        raise
