"""One batch of the inbox: look its objects up, plan a job for each, and say what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prefect import get_run_logger, task

from tasks.choose import Plan, in_threads
from tasks.discover import Discovery, filter_of, planned, record, source_labels
from tasks.domain.errors import LedgerConflict, ObjectMissing
from tasks.domain.job import JobState
from tasks.domain.upload import UploadEvent
from tasks.domain.video import VideoRef
from tasks.domain.wording import count_of
from tasks.ledger.base import JobRecord
from tasks.ledger.inbox import Upload
from tasks.match import source_of
from tasks.policies import PATIENT_STEP, STEP
from tasks.report import Outcome
from tasks.run import Run
from tasks.storage.filters import NOT_TAKEN
from tasks.storage.registry import split_source_uri
from tasks.unforeseen import discreet_step

LOOKS_AT_ONCE = 8
# What becomes of an upload whose object is not there any more.
GONE = "gone"


@dataclass(slots=True)
class Looked:
    """What the objects of a batch are now.

    Attributes:
        found: What a listing would have found of them, for the report.
        jobs: Upload's key -> key of its job.
        outcomes: Upload's key -> why it has no job: ``gone``, or what the source's filter says.
    """

    found: Discovery
    jobs: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)


@asynccontextmanager
async def holding_batch(run: Run, batch: str) -> AsyncIterator[list[Upload] | None]:
    """Hold a batch's lease, renewed for as long as the block runs; None if there is nothing (left) to do in it."""
    asked = batch, run.owner, run.lease
    uploads = await asyncio.to_thread(run.ledger.claim_batch, *asked, run.clock())
    if uploads is None:
        yield None
        return
    async with run.renewing(lambda: run.ledger.claim_batch(*asked, run.clock())):
        yield uploads


@task(name="look up", **PATIENT_STEP)
@discreet_step
async def look_up(run: Run, uploads: list[Upload]) -> Looked:
    """Ask the store about each object of a batch, and plan a job for each that is there and wanted.

    Nothing is listed. The object as it is now counts, whatever version the event told of.

    Raises:
        StorageUnavailable, AccessDenied: The store does not say.
    """
    looked = await asyncio.to_thread(record_batch, run, uploads)
    log = get_run_logger()
    found = looked.found
    said = count_of(len(uploads), "upload"), count_of(found.videos, "video"), found.new
    log.info("%s, %s, %d of them new", *said)
    for reason, count in looked.found.not_taken.items():
        log.info("%s not taken: %s", count_of(count, "upload"), NOT_TAKEN.get(reason, reason))
    return looked


def record_batch(run: Run, uploads: list[Upload]) -> Looked:
    """As :func:`look_up`."""
    looked = Looked(Discovery(0, 0))
    videos: dict[str, VideoRef] = {}
    not_taken: Counter[str] = Counter()
    for upload, found in in_threads(lambda upload: (upload, _look(run, upload)), uploads, LOOKS_AT_ONCE):
        if isinstance(found, VideoRef):
            videos[upload.key] = found
        else:
            looked.outcomes[upload.key] = found
            not_taken[found] += 1
    rows = {upload: next(planned(iter([video]), run.spec)) for upload, video in videos.items()}
    unique = {key: (key, video, spec) for key, video, spec in rows.values()}
    new = record(run, unique.values())
    looked.jobs = {upload: row[0] for upload, row in rows.items()}
    looked.found = Discovery(len(unique), new, not_taken, _warnings(not_taken))
    return looked


def _look(run: Run, upload: Upload) -> VideoRef | str:
    """The video that an upload is now, or why it is none."""
    scheme, _, rest = upload.uri.partition("://")
    container, _, key = rest.partition("/")
    source = source_of(run.pipeline, UploadEvent(scheme=scheme, container=container, key=key))
    if source is None:
        return "place"  # the pipeline's file was changed since
    store, _ = run.stores.source(source)
    root, _ = split_source_uri(source.uri)
    try:
        found = store.stat(upload.uri[len(root) :])
    except ObjectMissing:
        return GONE
    if reason := filter_of(source, run.clock()).reason_against(found):
        return reason
    label = source_labels(run.pipeline)[run.pipeline.sources.index(source)]
    name = label + found.key
    return VideoRef(uri=found.uri, version=found.version, size=found.size, modified=found.modified, name=name)


def _warnings(not_taken: Mapping[str, int]) -> tuple[str, ...]:
    gone = not_taken.get(GONE, 0)
    return (
        (f"{count_of(gone, 'upload is', 'uploads are')} gone: deleted or renamed before the run came to them",)
        if gone
        else ()
    )


def jobs_of(run: Run, looked: Looked) -> tuple[list[JobRecord], list[JobRecord]]:
    """The batch's jobs that are planned, and those that an earlier run left at the service."""
    records = [run.ledger.job(key, pipeline=run.pipeline.name) for key in dict.fromkeys(looked.jobs.values())]
    jobs = [record for record in records if record is not None]
    todo = [job for job in jobs if job.state is JobState.PLANNED]
    return todo, [job for job in jobs if job.state in (JobState.SUBMITTING, JobState.SUBMITTED)]


@task(name="mark done", **STEP)
@discreet_step
async def mark_done(run: Run, batch: str, looked: Looked, plan: Plan, outcome: Outcome) -> None:
    """Tell the inbox what became of each upload; those that could not be seen to wait for another run."""
    outcomes = await asyncio.to_thread(settle, run, looked, plan)
    log = get_run_logger()
    try:
        back = await asyncio.to_thread(run.ledger.finish_batch, batch, run.owner, outcomes, run.clock())
    except LedgerConflict as error:
        log.warning("%s", error.message)
        return
    if back:
        waits = f"{count_of(back, 'upload waits', 'uploads wait')} in the inbox for another run"
        outcome.warnings.append(waits)
        log.warning("%s", waits)


def settle(run: Run, looked: Looked, plan: Plan) -> dict[str, str]:
    """Upload's key -> what became of it; without those whose job nobody could begin.

    What the budget of a run held back does not wait in the inbox: a run a minute later would spend it again.
    It is planned in the ledger, and the next run that lists it takes it. What the budget of a period held
    back waits for the next period.
    """
    outcomes = dict(looked.outcomes)
    for upload, key in looked.jobs.items():
        if key in plan.held and run.pipeline.budget.per == "run":
            outcomes[upload] = "left for another run"
            continue
        job = run.ledger.job(key)
        # What is at the service is in the ledger: `collect` and the next run see to it.
        if job is not None and job.state is not JobState.PLANNED:
            outcomes[upload] = f"{job.state}: {job.failure.code}" if job.failure else str(job.state)
    return outcomes
