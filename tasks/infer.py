"""One video from planned job to stored results: the task run that people see per video."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

from prefect import get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.states import Failed

from tasks.adopt import adopt_stored
from tasks.collect import collect_job
from tasks.copies import settle_copy
from tasks.domain.errors import (
    AuthRefused,
    BudgetSpent,
    CopyAhead,
    JobFailed,
    PlanRefused,
    ReelrouteError,
    Retryable,
    ServiceUnavailable,
    SlotsFull,
    SubmissionUnknown,
)
from tasks.domain.job import JobState
from tasks.ledger.base import JobRecord
from tasks.plan import counted
from tasks.policies import PATIENT_STEP, RETRY_WAITS_S
from tasks.progress import watcher
from tasks.run import Run
from tasks.second_chance import died_of_its_url, second_chance
from tasks.submit import failure_of, submit_job
from tasks.unforeseen import discreet_step


@dataclass(frozen=True, slots=True)
class Inferred:
    """How a video's task ended.

    Attributes:
        key: The job.
        state: Where it stands now; None when another process is at work on it.
        submitted: How often this task submitted it.
        reused: It took over results that were there: of a copy, or its own in the results store.
        left_out: The limit of the budget that left it for another run, or "".
    """

    key: str
    state: JobState | None
    submitted: int = 0
    reused: bool = False
    left_out: str = ""


@task(name="infer", task_run_name="{video}", **PATIENT_STEP)
@discreet_step
async def infer_video(run: Run, key: str, video: str, wait: bool = True) -> Any:  # noqa: ARG001 (video names the task run)
    """Sign, submit, wait, check, store: whatever of it the job still needs.

    Returns an :class:`Inferred`; for a video that cannot be inferred, a failed state whose
    message starts with the error's code. Safe to call again at any time.

    Raises:
        Retryable, AuthRefused, PlanRefused: Nothing was decided about the video.
    """
    log = get_run_logger()
    async with run.holding(key) as job:
        if job is None:
            log.info("another process is at work on it")
            return Inferred(key, None)
        if run.stop.asked:
            return Inferred(key, job.state)
        try:
            ended = await advance(run, job, wait)
        except BudgetSpent as spent:
            return Inferred(key, JobState.PLANNED, left_out=spent.message)
        except (Retryable, AuthRefused, PlanRefused):
            if run.stop.why:  # asked meanwhile: no more attempts
                return Inferred(key, (await asyncio.to_thread(run.ledger.job, key) or job).state)
            raise
        except ReelrouteError as error:
            return _failed(error)
    log.info("%s", ended.state)
    return ended


async def infer_plainly(run: Run, key: str, video: str, wait: bool) -> Inferred | Exception:
    """As :func:`infer_video`, tried as often, without a task run of its own; returns the error that it ended with."""
    for waits in (*RETRY_WAITS_S, None):
        try:
            ended = await infer_video.fn(run, key, video, wait)
        except (Retryable, AuthRefused, PlanRefused) as error:
            if waits is None or not isinstance(error, Retryable) or not await run.pause(waits * (0.5 + run.chance())):
                return error
        except Exception as error:  # noqa: BLE001 (one bad video never stops the rest)
            return error
        else:
            return ended if isinstance(ended, Inferred) else cast(Exception, ended.data)
    raise AssertionError("the last attempt returns")


async def advance(run: Run, job: JobRecord, wait: bool) -> Inferred:
    """Take a job that we hold as far as it goes.

    Raises:
        ReelrouteError: As :func:`tasks.submit.submit_job` and :func:`tasks.collect.collect_job` do.
    """
    submitted = 0
    if job.state is JobState.SUBMITTING:
        # Its owner died between sending the request and recording the answer.
        error = SubmissionUnknown(f"{job.video}: the process that submitted it died before it noted the answer")
        await run.move(job, JobState.UNKNOWN, failure=failure_of("submit", error))
        raise error
    # Before the results are there: a run that dies right after storing them leaves a trace of what is due.
    await asyncio.to_thread(run.ledger.plan_deliveries, run.pipeline.name, job.key, run.fingerprints, run.clock())
    if job.state is JobState.PLANNED:
        try:
            settled = await settle_copy(run, job)
            if isinstance(settled, JobRecord):
                return Inferred(job.key, settled.state, reused=True)
            if (adopted := await adopt_stored(run, job)) is not None:
                return Inferred(job.key, adopted.state, reused=True)
            job = await submit_job(run, job, wait=wait, slots=counted(run, job, settled))
        except (SlotsFull, CopyAhead):  # whoever does not wait leaves it to a later run
            return Inferred(job.key, job.state)
        submitted += 1
        watcher.get().submitted(str(job.video))
    if job.state is JobState.SUBMITTED and wait:
        same_service(run, job)
        try:
            job = await collect_job(run, job)
        except JobFailed as error:
            again = await second_chance(run, job) if died_of_its_url(run, job, error) else None
            if again is None:
                raise
            job = await submit_job(run, again, slots=counted(run, again, run.slots))
            submitted += 1
            job = await collect_job(run, job)
    return Inferred(job.key, job.state, submitted)


def same_service(run: Run, job: JobRecord) -> None:
    """Refuse to ask one hosted service for a job of another.

    Raises:
        ServiceUnavailable: The job is at another service than this run's.
    """
    # Our own service changes its port with each run and keeps its jobs on disk; a hosted one does neither.
    if run.spec.backend != "local" and job.service != run.service:
        raise ServiceUnavailable(
            f"{job.video}: its job is at {job.service}, and this run talks to {run.service}",
            hint=f"run again with ROBOFLOW_API_URL={job.service}",
        )


def _failed(error: ReelrouteError) -> State[Any]:
    return Failed(message=f"{error.code}: {error.message}" + (f" ({error.hint})" if error.hint else ""), data=error)
