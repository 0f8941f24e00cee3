"""Wait for a submitted job, download its results, check them, store them."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import zlib
from datetime import timedelta
from pathlib import Path

from tasks.domain.errors import (
    AuthRefused,
    DeadlinePassed,
    JobFailed,
    JobUnknown,
    ObjectMissing,
    PlanRefused,
    RateLimited,
    ReelrouteError,
    ResultExpired,
    ResultInvalid,
    ResultPruned,
    ServiceUnavailable,
    Unforeseen,
    VideoReplaced,
)
from tasks.domain.job import JobState
from tasks.domain.predictions import Predictions
from tasks.domain.video import SignedUrl
from tasks.ledger.base import JobRecord
from tasks.owner import work_root
from tasks.poll import ask, doubt, is_overdue
from tasks.predictions.coverage import check_coverage, check_inferred
from tasks.predictions.parse import parse_results
from tasks.run import Run
from tasks.stop import CutShort
from tasks.storage.os_errors import translated
from tasks.stored import result_key
from tasks.submit import failure_of
from tasks.unforeseen import discreet

# Fresh result URLs asked for before we give up on fetching a finished job's results.
DOWNLOADS = 4


async def collect_job(run: Run, job: JobRecord) -> JobRecord:
    """Poll a submitted job that we hold until its results are stored; return it as succeeded.

    Returned as submitted if the run is asked to stop meanwhile.

    Raises:
        DeadlinePassed: It took longer than the pipeline's deadline; recorded as expired.
        JobFailed, JobUnknown, ResultInvalid, VideoReplaced: Recorded as failed.
        AuthRefused, PlanRefused, AccessDenied, Retryable: Nothing is recorded; the job stays submitted.
    """
    downloads, waits = 0, 0
    while not run.stop.asked:
        try:
            status, at_least_s = await ask(run, job)
            if status.result_url is not None:
                downloads += 1
                try:
                    return await run.stop.finish(store_results(run, job, status.result_url))
                except (ResultExpired, ServiceUnavailable, RateLimited, Unforeseen) as passing:
                    # As with a question: it passes, and the deadline says how long we believe that.
                    _, at_least_s = await doubt(run, job, passing)
                    if isinstance(passing, ResultExpired | Unforeseen) and downloads >= DOWNLOADS:
                        raise
        except CutShort:
            return job
        except (JobFailed, JobUnknown) as error:
            await _end(run, job, JobState.FAILED, "poll", error)
            raise
        except DeadlinePassed as error:
            await _end(run, job, JobState.EXPIRED, "poll", error)
            raise
        await wait_turn(run, job, waits, at_least_s)
        waits += 1
    return job


async def await_job(run: Run, job: JobRecord, *, once: bool = False) -> bool:
    """Poll a submitted job that we hold until there is something to do about it; decide and record nothing.

    Costs a waiting job little more than its place in the event loop, so thousands can be waited
    for. What there is to do is :func:`collect_job`'s business.

    Args:
        once: Ask a single time; a job past its deadline that nothing is heard of, some more.

    Returns:
        True when it is done, has failed, is overdue or can no longer be asked about; False when
        the run is asked to stop, or after asking once in vain.
    """
    waits = 0
    while not run.stop.asked:
        try:
            status, at_least_s = await ask(run, job)
        except (JobFailed, JobUnknown, DeadlinePassed, AuthRefused, PlanRefused):
            return True
        if status.done:
            return True
        if once and not is_overdue(run, job):
            return False
        await wait_turn(run, job, waits, at_least_s)
        waits += 1
    return False


async def wait_turn(run: Run, job: JobRecord, waits: int, at_least_s: float) -> None:
    """Sleep until the job may be asked about again, or the run is asked to stop."""
    interval_s = run.pipeline.inference.poll_interval.total_seconds()
    # A first wait of its own keeps a thousand jobs that began together from being polled together;
    # the same jitter each time would add up, and ask now too often and now too seldom.
    wait_s = interval_s * (0.5 + run.chance()) if not waits else interval_s
    if at_least_s > wait_s:
        left = timedelta(0)
        if job.submitted_at is not None:
            left = job.submitted_at + run.pipeline.inference.deadline - run.clock()
        wait_s = max(wait_s, min(at_least_s, left.total_seconds()))
    await run.pause(wait_s)


async def store_results(run: Run, job: JobRecord, url: SignedUrl) -> JobRecord:
    """Download, check and store the results of a finished job; return it as succeeded.

    Raises:
        ResultExpired, StorageUnavailable: Nothing is recorded; ask for the job again.
        ResultInvalid: What came is no results JSON of this job; recorded as failed.
        VideoReplaced: It may be of another version of the video; recorded as failed.
        Unforeseen: We cannot deal with what came; nothing is recorded.
    """
    place = translated("write", str(work_root(run.settings)))
    with discreet(f"storing the results of {job.video}"), place, run.work_folder() as folder:
        raw = folder / "results.json"
        try:
            await run.backend.download(url, raw)
            await asyncio.to_thread(read_results, run, job, raw)
            await asyncio.to_thread(require_planned_version, run, job)
        except (ResultInvalid, VideoReplaced) as error:
            await _end(run, job, JobState.FAILED, "check", error)
            raise
        await asyncio.to_thread(_compress_and_upload, run, raw, result_key(job.key))
    return await run.move(job, JobState.SUCCEEDED, result_key=result_key(job.key))


def require_planned_version(run: Run, job: JobRecord) -> None:
    """Make sure that results are of the version that was planned: the URL gave no other, or it is still there.

    Raises:
        VideoReplaced: Another stands in its place, and may be what the service read.
    """
    if job.bound:
        return
    try:
        run.stores.look(job.video)
    except VideoReplaced:
        raise VideoReplaced(f"{job.video}: was replaced while it was inferred, in either version") from None
    except ObjectMissing:  # deleted since it was read: nothing else can have been inferred
        return


def read_results(run: Run, job: JobRecord, raw: Path) -> Predictions:
    """Parse a results JSON as the results of this job's models, and hold it against the job's video.

    Raises:
        ResultInvalid: It is not one, a model's predictions are missing, or it is of other frames than were asked for.
    """
    tasks = {info.ref.project: info.task for info in run.models}
    predictions = parse_results(raw, tasks=tasks, video_fps=float(job.info.fps) if job.info else None)
    there = {part.model for part in predictions.models}
    missing = [model.project for model in job.spec.models if model.project not in there]
    if missing:
        raise ResultInvalid(f"{job.video}: the results have no predictions of {', '.join(missing)}")
    try:
        check_inferred(predictions)
        if job.info is not None:
            check_coverage(predictions, job.info, job.spec.fps)
    except ResultInvalid as error:
        raise ResultInvalid(f"{job.video}: {error.message}") from None
    return predictions


def fetch_results(run: Run, job: JobRecord, target: Path) -> None:
    """Put the stored results JSON of a succeeded job into a local file, as the service gave it.

    Raises:
        ResultPruned: Nothing is stored any more, whoever removed it.
        ResultInvalid: What is stored is damaged.
        StorageUnavailable: The disk did not take it.
    """
    if not job.result_key:
        raise ResultPruned(f"{job.video}: its results were pruned while another version stood in its place")
    packed = target.with_suffix(".gz")
    try:
        run.results.download(job.result_key, packed)
    except ObjectMissing:
        raise ResultPruned(f"{job.video}: its stored results are gone ({job.result_key})") from None
    with translated("write", str(target.parent)), gzip.open(packed, "rb") as source, target.open("wb") as out:
        try:
            shutil.copyfileobj(source, out, 1 << 20)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise ResultInvalid(f"{job.video}: the stored results are damaged ({job.result_key})") from None
    packed.unlink()


def _compress_and_upload(run: Run, raw: Path, key: str) -> None:
    packed = raw.with_suffix(".gz")
    # mtime 0: the same results give the same bytes.
    with raw.open("rb") as source, packed.open("wb") as out, gzip.GzipFile("", "wb", 6, out, mtime=0) as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    run.results.upload(key, packed, content_type="application/gzip")


async def _end(run: Run, job: JobRecord, to: JobState, stage: str, error: ReelrouteError) -> None:
    await run.move(job, to, failure=failure_of(stage, error))
