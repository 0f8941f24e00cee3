"""Slots that take jobs off the disk and worker processes that run them, one job at a time each.

A job that kills its worker (out of memory, a crash in a codec) is tried once more and then fails
alone, with the code ``worker_crashed``; the worker is replaced. A job that was begun five times
without an end, because the service itself died each time, fails the same way instead of
bringing the service down for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

from deployments.services.inference.jobs import Claim, JobStore
from deployments.services.inference.protocol import Order, Reply
from deployments.services.inference.settings import Limits, ServiceSettings
from tasks.domain.environment import child_environment

_MAX_CRASHES = 2
_MAX_STARTS = 5
# How soon a job is noticed that another process of the state folder left behind.
_SCAN_INTERVAL_S = 1.0
_STOP_GRACE_S = 2.0
_LONGEST_REPLY = 1 << 20
_log = logging.getLogger("reelroute.inference")


class WorkerLost(Exception):
    """The worker process ended in mid-job. Never leaves this module."""


class Worker:
    """One worker process. It ends by itself when our end of its stdin closes, however we die."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdin is not None  # noqa: S101 (start asked for pipes)
        assert process.stdout is not None  # noqa: S101
        self._orders, self._replies = process.stdin, process.stdout

    @classmethod
    async def start(cls) -> Worker:
        """Start a process; it loads the engine with its first job."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # never import from the current folder: a user's own tasks/ would shadow ours
            "-m",
            "deployments.services.inference.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=child_environment(os.environ),  # it decodes what strangers made
            limit=_LONGEST_REPLY,
        )
        return cls(process)

    async def perform(self, order: Order) -> Reply:
        """Hand over an order and wait for its reply.

        Raises:
            WorkerLost: The process ended first.
        """
        try:
            self._orders.write(order.to_line())
            await self._orders.drain()
            line = await self._replies.readline()
        except ConnectionError:
            line = b""
        if not line.endswith(b"\n"):
            raise WorkerLost
        return Reply.from_line(line)

    async def stop(self) -> None:
        """End the process: politely, then not."""
        self._orders.close()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_GRACE_S)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the process now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class WorkerPool:
    """As many slots as the settings say, each with a worker of its own.

    Attributes:
        busy: Jobs that run now.
        ended: Jobs that ended here, by ``succeeded`` or the code of the failure.
        crashes: Worker processes that died of a job.
    """

    def __init__(self, store: JobStore, settings: ServiceSettings) -> None:
        self._store = store
        self._limits: Limits = settings.limits
        self._timeout: timedelta = settings.job_timeout
        self._size = settings.worker_count
        self._news = asyncio.Event()
        self._slots: list[asyncio.Task[None]] = []
        self.busy = 0
        self.ended: Counter[str] = Counter()
        self.crashes = 0

    @property
    def size(self) -> int:
        """How many jobs run at once."""
        return self._size

    @property
    def is_whole(self) -> bool:
        """Whether every slot is at its work; a slot ends only by a mistake in this program."""
        return len(self._slots) == self._size and not any(slot.done() for slot in self._slots)

    def wake(self) -> None:
        """Tell idle slots that there is a new job."""
        self._news.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run jobs until the block is left; jobs under way stay unfinished on disk for the next start."""
        self._slots = [asyncio.create_task(_Slot(self).run()) for _ in range(self._size)]
        for slot in self._slots:
            slot.add_done_callback(_tell_of_mistake)
        try:
            yield
        finally:
            for slot in self._slots:
                slot.cancel()
            await asyncio.gather(*self._slots, return_exceptions=True)

    @contextlib.contextmanager
    def _one_more_busy(self) -> Iterator[None]:
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    async def _next(self) -> Claim:
        while True:
            # Cleared before looking: whatever comes after the look sets it again.
            self._news.clear()
            claim = self._store.claim()
            if claim is not None:
                return claim
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _SCAN_INTERVAL_S)


def _tell_of_mistake(slot: asyncio.Task[None]) -> None:
    """Log how a slot ended that should not have, without the error's text: it may hold a signed URL."""
    error = None if slot.cancelled() else slot.exception()
    if error is not None:
        where = "".join(traceback.format_tb(error.__traceback__))
        _log.critical("a slot ended by %s; its worker is lost until a restart\n%s", type(error).__name__, where)


class _Slot:
    """Takes one job after the other and keeps one worker for them."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._store = pool._store
        self._worker: Worker | None = None

    async def run(self) -> None:
        try:
            while True:
                try:
                    claim = await self._pool._next()
                    with contextlib.closing(claim), self._pool._one_more_busy():
                        await self._run(claim)
                except OSError as error:  # a full disk, no process to be had: the job stays queued
                    _log.error("cannot run jobs: %s; trying again", error.strerror)
                    await asyncio.sleep(_SCAN_INTERVAL_S)
        finally:
            await self._drop_worker()

    async def _run(self, claim: Claim) -> None:
        if claim.starts > _MAX_STARTS:
            message = f"the job was begun {_MAX_STARTS} times and never ended"
            self._finish(claim, Reply("worker_crashed", message, "it may bring the whole service down"))
            return
        if self._worker is None:
            self._worker = await Worker.start()
        order = Order(claim.request, str(claim.scratch), self._pool._limits)
        try:
            async with asyncio.timeout(self._pool._timeout.total_seconds()):
                reply = await self._worker.perform(order)
        except asyncio.CancelledError:  # we are told to stop, which is no fault of the job's
            await self._drop_worker(at_once=True)
            self._store.give_back(claim)
            raise
        except TimeoutError:
            await self._drop_worker(at_once=True)
            reply = Reply(
                "job_timeout", f"the job ran longer than {self._pool._timeout}", "split the video, or lower fps"
            )
        except WorkerLost:
            await self._drop_worker(at_once=True)
            self._pool.crashes += 1
            crashes = self._store.crashed(claim)
            _log.warning("job %s ended its worker process (%d of %d)", claim.job_id, crashes, _MAX_CRASHES)
            if crashes < _MAX_CRASHES:
                return  # still queued: the next slot that looks takes it
            reply = Reply(
                "worker_crashed",
                "the worker process died while it ran this video, twice",
                "it may need more memory than there is, or the file may crash its decoder",
            )
        self._finish(claim, reply)

    def _finish(self, claim: Claim, reply: Reply) -> None:
        if reply.code:
            self._store.fail(claim, reply.code, reply.message, reply.hint)
        else:
            self._store.succeed(claim)
        outcome = reply.code or "succeeded"
        self._pool.ended[outcome] += 1
        _log.info("job %s: %s", claim.job_id, outcome, extra={"job_id": claim.job_id, "outcome": outcome})

    async def _drop_worker(self, *, at_once: bool = False) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await (worker.kill() if at_once else worker.stop())
