"""Wait for a submitted job, download its results, check them, store them."""

from __future__ import annotations

import asyncio
import gzip
import shutil
from pathlib import Path

from tasks.domain.errors import (
    DeadlinePassed,
    JobFailed,
    JobUnknown,
    ReelrouteError,
    ResultExpired,
    ResultInvalid,
    Retryable,
)
from tasks.domain.job import JobState
from tasks.domain.predictions import Predictions
from tasks.domain.video import SignedUrl
from tasks.inference.base import JobStatus
from tasks.ledger.base import JobRecord
from tasks.predictions.parse import parse_results
from tasks.run import Run
from tasks.submit import failure_of

# Fresh result URLs asked for before we give up on fetching a finished job's results.
DOWNLOADS = 4


async def collect_job(run: Run, job: JobRecord) -> JobRecord:
    """Poll a submitted job that we hold until its results are stored; return it as succeeded.

    Raises:
        DeadlinePassed: It took longer than the pipeline's deadline; recorded as expired.
        JobFailed, JobUnknown, ResultInvalid: Recorded as failed.
        AuthRefused, PlanRefused, Retryable: Nothing is recorded; the job stays submitted.
    """
    downloads = 0
    while True:
        status = await _check(run, job)
        if status.done and status.result_url is not None:
            downloads += 1
            try:
                return await store_results(run, job, status.result_url)
            except ResultExpired:
                if downloads == DOWNLOADS:
                    raise
        await _wait(run, job)


async def _check(run: Run, job: JobRecord) -> JobStatus:
    """Ask how the job is; a passing fault counts as "not yet"."""
    try:
        return await run.backend.check(job.job_id)
    except (JobFailed, JobUnknown) as error:
        await _end(run, job, JobState.FAILED, "poll", error)
        raise
    except Retryable as error:
        if error.retry_after_s:
            await run.sleep(error.retry_after_s)
        return JobStatus(done=False)


async def _wait(run: Run, job: JobRecord) -> None:
    """Sleep until the next check, or end the job when its deadline has passed."""
    limit = run.pipeline.inference.deadline
    if job.submitted_at is not None and run.clock() - job.submitted_at > limit:
        error = DeadlinePassed(f"{job.video}: not finished {limit} after it was submitted (job {job.job_id})")
        await _end(run, job, JobState.EXPIRED, "poll", error)
        raise error
    # Jitter keeps a thousand jobs that were submitted together from being polled together.
    await run.sleep(run.pipeline.inference.poll_interval.total_seconds() * (0.9 + 0.2 * run.chance()))


async def store_results(run: Run, job: JobRecord, url: SignedUrl) -> JobRecord:
    """Download, check and store the results of a finished job; return it as succeeded.

    Raises:
        ResultExpired, StorageUnavailable: Nothing is recorded; ask for the job again.
        ResultInvalid: What came is no results JSON of this job; recorded as failed.
    """
    with run.work_folder() as folder:
        raw = folder / "results.json"
        try:
            await run.backend.download(url, raw)
            await asyncio.to_thread(read_results, run, job, raw)
        except ResultInvalid as error:
            await _end(run, job, JobState.FAILED, "check", error)
            raise
        await asyncio.to_thread(_compress_and_upload, run, raw, result_key(job.key))
    return await run.move(job, JobState.SUCCEEDED, result_key=result_key(job.key))


def read_results(run: Run, job: JobRecord, raw: Path) -> Predictions:
    """Parse a results JSON as the results of this job's models.

    Raises:
        ResultInvalid: It is not one, or a model's predictions are missing.
    """
    tasks = {info.ref.project: info.task for info in run.models}
    predictions = parse_results(raw, tasks=tasks, video_fps=float(job.info.fps) if job.info else None)
    there = {part.model for part in predictions.models}
    missing = [model.project for model in job.spec.models if model.project not in there]
    if missing:
        raise ResultInvalid(f"{job.video}: the results have no predictions of {', '.join(missing)}")
    return predictions


def result_key(job_key: str) -> str:
    """Where the results store keeps a job's results JSON, compressed."""
    return f"{job_key[:2]}/{job_key}.json.gz"


def fetch_results(run: Run, job: JobRecord, target: Path) -> None:
    """Put the stored results JSON of a succeeded job into a local file, as the service gave it."""
    packed = target.with_suffix(".gz")
    run.results.download(job.result_key, packed)
    with gzip.open(packed, "rb") as source, target.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    packed.unlink()


def _compress_and_upload(run: Run, raw: Path, key: str) -> None:
    packed = raw.with_suffix(".gz")
    # mtime 0: the same results give the same bytes.
    with raw.open("rb") as source, packed.open("wb") as out, gzip.GzipFile("", "wb", 6, out, mtime=0) as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    run.results.upload(key, packed, content_type="application/gzip")


async def _end(run: Run, job: JobRecord, to: JobState, stage: str, error: ReelrouteError) -> None:
    await run.move(job, to, failure=failure_of(stage, error))
