"""Many videos at once, but never more coroutines than jobs we may have open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from prefect.client.schemas.objects import State

from tasks.domain.errors import AuthRefused, PlanRefused, ReelrouteError, ServiceUnavailable
from tasks.domain.job import Failure, JobState
from tasks.infer import Inferred, infer_video
from tasks.ledger.base import JobRecord
from tasks.progress import watcher
from tasks.report import Outcome
from tasks.run import Run
from tasks.submit import failure_of

IN_FLIGHT = (JobState.SUBMITTING, JobState.SUBMITTED)


async def infer_all(
    run: Run, todo: Sequence[str], outcome: Outcome, *, wait: bool, finished: Callable[[str], None]
) -> None:
    """Resume what was left in flight, then submit ``todo``; name each job to ``finished`` as its results are stored."""
    queue: asyncio.Queue[JobRecord | None] = asyncio.Queue(maxsize=run.pipeline.inference.max_in_flight)
    async with asyncio.TaskGroup() as group:
        for _ in range(run.pipeline.inference.max_in_flight):
            group.create_task(_work(run, queue, outcome, wait, finished))
        async for job in _to_do(run, todo, outcome, wait):
            await queue.put(job)
        for _ in range(run.pipeline.inference.max_in_flight):
            await queue.put(None)


async def _to_do(run: Run, todo: Sequence[str], outcome: Outcome, wait: bool) -> AsyncIterator[JobRecord]:
    left = await asyncio.to_thread(lambda: list(run.ledger.jobs(run.pipeline.name, IN_FLIGHT))) if wait else []
    watcher.get().expected(len(left) + len(todo))
    outcome.resumed.update(job.key for job in left)
    for job in left:
        yield job
    for key in todo:
        planned = await asyncio.to_thread(run.ledger.job, key, pipeline=run.pipeline.name)
        if planned is not None:
            yield planned


async def _work(
    run: Run,
    queue: asyncio.Queue[JobRecord | None],
    outcome: Outcome,
    wait: bool,
    finished: Callable[[str], None],
) -> None:
    while (job := await queue.get()) is not None:
        if outcome.stopped is not None and job.state is JobState.PLANNED:
            continue
        state: State[Inferred] = await infer_video(run, job.key, str(job.video), wait, return_state=True)  # type: ignore[misc]
        problem, now = await _note(run, job, state, outcome)
        watcher.get().finished(str(job.video), problem)
        if now is JobState.SUCCEEDED:
            finished(job.key)


async def _note(run: Run, job: JobRecord, state: State[Inferred], outcome: Outcome) -> tuple[str, JobState | None]:
    """Count how a video's task ended; return the code of its problem, or "", and where the job stands."""
    if state.is_completed():
        ended = await state.result()  # type: ignore[misc]
        outcome.submitted += ended.submitted
        outcome.elsewhere += ended.state is None
        outcome.succeeded += ended.state is JobState.SUCCEEDED
        return "", ended.state
    now = await asyncio.to_thread(run.ledger.job, job.key)
    if now is not None:
        outcome.submitted += now.submitted_at is not None and now.submitted_at >= run.started_at
        if now.failure is not None:
            return now.failure.code, now.state
    error = await state.result(raise_on_failure=False)  # type: ignore[misc]
    if isinstance(error, AuthRefused | PlanRefused | ServiceUnavailable):
        outcome.stopped = outcome.stopped or error
    if isinstance(error, ReelrouteError):
        failure = failure_of("submit" if job.state is JobState.PLANNED else "poll", error)
    else:
        failure = Failure("infer", "unexpected", f"{job.video}: {type(error).__name__}")
    outcome.passing[job.key] = failure
    return failure.code, None
