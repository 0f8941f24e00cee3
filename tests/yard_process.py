"""A run or a collector in a process of its own, without Prefect.

    python -m tests.yard_process run|collect PIPELINE [SHORTEST_LEASE_S [STOPPED_AT]]

Everything is as in production but the rate of submissions, which would hide what the tests are
about, and the look-up of the model. With a place, it sends itself
SIGSTOP there, once. Prints how many jobs it submitted when every job has ended.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta

import tasks.run
from tasks.discover import record_listing
from tasks.domain.errors import LedgerConflict, SubmissionUnknown
from tasks.domain.job import JobState, ModelRef
from tasks.domain.predictions import TaskType
from tasks.infer import advance
from tasks.inference.base import ModelInfo
from tasks.inference.roboflow import RoboflowClient
from tasks.ledger.base import JobRecord
from tasks.pace import Pace
from tasks.run import Run, open_run
from tests.faults.marks import CLIENT, Mark, set_mark

MODEL = ModelInfo(ModelRef("players-x1", "1"), TaskType.OBJECT_DETECTION, ("Person",))
OPEN = (JobState.PLANNED, JobState.SUBMITTING, JobState.SUBMITTED)
WORKERS = 12
PLACES = {
    "after the intent": Mark("tasks.run:Run.move", after=True, when=lambda given: given["to"] == "submitting"),
    "before the request": Mark(f"{CLIENT}._send", when=lambda given: given["what"] == "submitting a job"),
    "after the answer": Mark(f"{CLIENT}.submit", after=True),
}


async def known(_: RoboflowClient, __: tuple[ModelRef, ...]) -> tuple[ModelInfo, ...]:
    """What the service would say of the model."""
    return (MODEL,)


async def take(run: Run, key: str, collects: bool) -> int:
    """Take one job as far as it goes, if nobody else has it; return how often it was submitted."""
    async with run.holding(key) as job:
        if job is None or job.state not in OPEN or (collects and job.state is not JobState.SUBMITTED):
            return 0
        try:
            return (await advance(run, job, wait=True)).submitted
        except (LedgerConflict, SubmissionUnknown):
            return 0


async def work(run: Run, queue: asyncio.Queue[JobRecord], collects: bool) -> int:
    """Take job after job."""
    submitted = 0
    while not queue.empty():
        submitted += await take(run, queue.get_nowait().key, collects)
    return submitted


async def main(what: str, pipeline: str) -> None:
    """Go on until no job of the pipeline is open."""
    submitted = 0
    async with open_run(pipeline) as run:
        run.submits = Pace(1000, burst=1000, timer=run.timer, sleep=run.pause)
        await asyncio.to_thread(record_listing, run)
        while jobs := await asyncio.to_thread(lambda: list(run.ledger.jobs(run.pipeline.name, OPEN))):
            queue: asyncio.Queue[JobRecord] = asyncio.Queue()
            for job in jobs:
                queue.put_nowait(job)
            workers = [work(run, queue, what == "collect") for _ in range(WORKERS)]
            submitted += sum(await asyncio.gather(*workers))
            await run.sleep(0.05)
    print(submitted, flush=True)


if __name__ == "__main__":
    RoboflowClient.describe = known  # type: ignore[method-assign, assignment]
    what, pipeline, lease_s, stopped_at = (*sys.argv[1:], "", "")[:4]
    if lease_s:
        tasks.run.SHORTEST_LEASE = timedelta(seconds=float(lease_s))
    if stopped_at:
        set_mark(PLACES[stopped_at], signal.SIGSTOP)
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(main(what, pipeline))
