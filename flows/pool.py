"""Many videos at once: some workers submit, and everything at the service is polled together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from prefect import task
from prefect.client.schemas.objects import State

from flows.limit import turn
from tasks.collect import await_job
from tasks.copies import find_copy
from tasks.domain.errors import (
    AuthRefused,
    CredentialsRefused,
    LedgerUnavailable,
    LedgerUnusable,
    PlanRefused,
    ReelrouteError,
    ServiceUnavailable,
)
from tasks.domain.job import Failure, JobState
from tasks.domain.wording import count_of
from tasks.infer import Inferred, infer_plainly, infer_video
from tasks.ledger.base import JobRecord
from tasks.policies import STEP
from tasks.progress import watcher
from tasks.report import Outcome
from tasks.run import Run
from tasks.second_chance import refused_by_budget
from tasks.submit import failure_of
from tasks.unforeseen import discreet_step

log = logging.getLogger(__name__)

IN_FLIGHT = (JobState.SUBMITTING, JobState.SUBMITTED)
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED, JobState.UNKNOWN)
# What ends submissions: it would be the same with the next video. A service that does not answer about one job
# may well take another.
STOPPING = (AuthRefused, PlanRefused, CredentialsRefused, LedgerUnusable)
# Jobs of earlier runs that are waited for at once: each costs a few kilobytes. More wait for one of them to end.
OPEN_AT_ONCE = 5000
# Jobs that ended together are collected by so many at a time.
COLLECTED_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Pool:
    """What all workers share.

    Attributes:
        outcome: Where it is counted how each video ended.
        finished: Is told the key of each job as its results are stored.
        wait: Wait for results.
        once: Ask about each job of an earlier run a single time.
        copies: Key of a job -> keys of jobs that take over its results; they come right after it.
    """

    run: Run
    outcome: Outcome
    finished: Callable[[str], None]
    wait: bool = True
    once: bool = False
    copies: dict[str, list[str]] = field(default_factory=dict)

    async def infer_all(self, todo: Sequence[str] = (), left: Sequence[JobRecord] | None = None) -> None:
        """Collect what is in flight, and submit the jobs ``todo`` meanwhile; end when nothing is in flight.

        Args:
            left: Jobs at the service; by default all of the pipeline.

        Raises:
            ReelrouteError: The ledger cannot be used any more. What is at the service stays there.
        """
        if left is None:
            left = await asyncio.to_thread(self._left) if self.wait else []
        self.outcome.resumed.update(job.key for job in left)
        self.run.given.update((job.job_id, job.key) for job in left)
        watcher.get().expected(len(left) + len(todo) + self._waiting)
        keys = iter(todo)
        if self.run.settings.detail == "video":
            await self._work(keys, len(todo), left)
        elif todo or left:
            await infer_many(self, len(todo) + len(left), keys, len(todo), left)
        self._warn_of_waiting()

    async def collect_once(self, left: Sequence[JobRecord]) -> None:
        """Ask about jobs at the service a single time, and collect those that are done."""
        await replace(self, once=True)._follow_all(left)

    async def infer_copies(self) -> None:
        """Take up the copies of jobs that ended elsewhere; end when nothing of them is in flight."""
        originals = iter(list(self.copies))
        watcher.get().expected(self._waiting)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(len(self.copies), self.run.pipeline.inference.max_in_flight)):
                group.create_task(self._infer_next_copies(originals))
        self._warn_of_waiting()

    async def _infer_next_copies(self, originals: Iterator[str]) -> None:
        for key in originals:
            job = await asyncio.to_thread(self.run.ledger.job, key)
            if job is not None and job.state in ENDED:
                await self._infer_copies(key)

    @property
    def _waiting(self) -> int:
        return sum(map(len, self.copies.values()))

    def _warn_of_waiting(self) -> None:
        if self._waiting:
            self.outcome.warnings.append(
                f"{count_of(self._waiting, 'video is a copy', 'videos are copies')} of what is not done yet: "
                "another run takes over its results"
            )

    async def _work(self, keys: Iterator[str], count: int, left: Sequence[JobRecord]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_all(left))
                if count:
                    group.create_task(self._submit_all(keys, count))
        except BaseExceptionGroup as many:
            raise first_error(many) from None

    def _left(self) -> list[JobRecord]:
        return list(self.run.ledger.jobs(self.run.pipeline.name, IN_FLIGHT))

    async def _submit_all(self, keys: Iterator[str], count: int) -> None:
        async with turn(self.run) as why_not, asyncio.TaskGroup() as group:
            if why_not:
                self.outcome.warnings.append(
                    f"{count_of(count, 'video is', 'videos are')} left for another run: {why_not}"
                )
                return
            for _ in range(min(count, self.run.pipeline.inference.max_in_flight)):
                group.create_task(self._submit_next(keys))

    async def _submit_next(self, keys: Iterator[str]) -> None:
        for key in keys:
            if self.run.stop.asked or self.outcome.stopped is not None:
                return
            job = await asyncio.to_thread(self.run.ledger.job, key, pipeline=self.run.pipeline.name)
            if job is not None:
                await self._infer(job)

    async def _follow_all(self, left: Sequence[JobRecord]) -> None:
        """Poll jobs that the service has already; they need no worker, and no task run until they end."""
        places, collecting = asyncio.Semaphore(OPEN_AT_ONCE), asyncio.Semaphore(COLLECTED_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for job in left:
                await places.acquire()
                group.create_task(self._follow(job, collecting)).add_done_callback(lambda _: places.release())

    async def _follow(self, job: JobRecord, collecting: asyncio.Semaphore) -> None:
        try:
            async with self.run.holding(job.key) as held:
                if held is None:
                    self.outcome.elsewhere += 1
                    return
                if held.state is JobState.SUBMITTED and not await await_job(self.run, held, once=self.once):
                    return
            async with collecting:
                if not self.run.stop.asked:
                    await self._infer(job)
        except (LedgerUnavailable, LedgerUnusable):
            raise
        except Exception as error:  # one bad job never stops the rest
            log.warning("%s: %s", job.video, type(error).__name__, exc_info=True)
            await self._note(job, error)

    async def _infer(self, job: JobRecord) -> None:
        name = str(job.video)
        if self.run.settings.detail == "video":
            state: State[Inferred] = await infer_video(self.run, job.key, name, self.wait, return_state=True)  # type: ignore[misc]
            ended: Inferred | BaseException = await state.result(raise_on_failure=False)  # type: ignore[misc]
        else:
            ended = await infer_plainly(self.run, job.key, name, self.wait)
        problem, now = await self._note(job, ended)
        if problem or now in ENDED or not self.run.stop.asked:  # asked to stop, it is left where it was
            watcher.get().finished(name, problem)
        if now is JobState.SUCCEEDED:
            self.finished(job.key)
        if now in ENDED:
            await self._infer_copies(job.key)

    async def _infer_copies(self, original: str) -> None:
        """Take up the copies of a job that has ended; if it came to nothing, the first is submitted in its place."""
        for key in self.copies.pop(original, ()):
            copy = await asyncio.to_thread(self.run.ledger.job, key, pipeline=self.run.pipeline.name)
            if copy is None or self.run.stop.asked or self.outcome.stopped is not None:
                continue
            found = await asyncio.to_thread(find_copy, self.run, copy)
            reason = "" if found is not None else refused_by_budget(self.run, copy)
            if reason:
                self.outcome.warnings.append(f"{copy.video} is left for another run: {reason}")
            else:
                await self._infer(copy)

    async def _note(self, job: JobRecord, ended: Inferred | BaseException) -> tuple[str, JobState | None]:
        """Count how a video ended; return the code of its problem, or "", and where the job stands."""
        outcome = self.outcome
        outcome.stopped = outcome.stopped or self.run.breaker.reason
        # Not what the last attempt says: one before it may have submitted, and then lost the job to another process.
        outcome.submitted += self.run.taken.pop(job.key, 0)
        if isinstance(ended, Inferred):
            outcome.elsewhere += ended.state is None
            outcome.reused += ended.reused
            if ended.left_out:
                outcome.left_out[ended.left_out] += 1
            outcome.succeeded += ended.state is JobState.SUCCEEDED and not ended.reused
            return "", ended.state
        now = await asyncio.to_thread(self.run.ledger.job, job.key)
        if now is not None and now.failure is not None and now.state is not JobState.SUBMITTED:
            return now.failure.code, now.state
        error = ended
        if isinstance(error, STOPPING) or (isinstance(error, ServiceUnavailable) and job.state is JobState.PLANNED):
            outcome.stopped = outcome.stopped or error
        if isinstance(error, ReelrouteError):
            failure = failure_of("submit" if job.state is JobState.PLANNED else "poll", error)
        else:
            failure = Failure("infer", "unexpected", f"{job.video}: {type(error).__name__}")
        outcome.passing[job.key] = failure
        return failure.code, None


@task(name="infer", task_run_name="videos: {count}", **STEP)
@discreet_step
async def infer_many(pool: Pool, count: int, keys: Iterator[str], todo: int, left: Sequence[JobRecord]) -> None:  # noqa: ARG001
    """Do a pool's work within one task run, for people who need no row per video."""
    await pool._work(keys, todo, left)


def first_error(error: BaseException) -> BaseException:
    """What went wrong first, out of groups of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
