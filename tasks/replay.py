"""What `replay` takes up again: chosen from the ledger alone, and moved to where it can go on.

Three kinds of failure are told apart by what trying again costs: what the service may have
already (asked for first, free), what has to be submitted (paid, perhaps again), and deliveries
(free).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from config.pipeline import Pipeline
from tasks.choose import Estimate
from tasks.domain.errors import JobFailed, JobUnknown, RequestRefused, Retryable, VideoReplaced
from tasks.domain.job import DeliveryState, InferenceSpec, JobState
from tasks.infer import same_service
from tasks.ledger.base import JobRecord, Ledger
from tasks.plan import Assessment, sampled_frames_of
from tasks.poll import TIMES
from tasks.run import Run


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks for.

    Attributes:
        failed: Jobs that failed or expired, too, though they may have to be paid again.
        unknown: Jobs of which nobody knows whether the service took them; submitted again, they may be billed twice.
        route: Stored results, to this route again, delivered or not; nothing else.
        video: Only of this video: its URI, or its name.
    """

    failed: bool = False
    unknown: bool = False
    route: str = ""
    video: str = ""


@dataclass(slots=True)
class Selection:
    """What is to be taken up again.

    Attributes:
        ask: Keys of jobs that the service may have results of.
        submit: Keys of jobs to submit.
        probe: Keys of jobs whose video could not be inferred, to be looked at again.
        deliver: (job key, route).
        left_alone: Reason -> number of failures not taken up.
        bill: What submitting costs, those to be asked for first included.
        unmeasured: How many of these have a length that nobody knows.
    """

    ask: list[str] = field(default_factory=list)
    submit: list[str] = field(default_factory=list)
    probe: list[str] = field(default_factory=list)
    deliver: list[tuple[str, str]] = field(default_factory=list)
    left_alone: Counter[str] = field(default_factory=Counter)
    bill: Estimate = field(default_factory=Estimate)
    unmeasured: int = 0

    @property
    def keys(self) -> set[str]:
        """Every job that is touched."""
        return {*self.ask, *self.submit, *self.probe, *(key for key, _ in self.deliver)}

    @property
    def may_pay(self) -> int:
        """How many jobs may be submitted."""
        return len(self.ask) + len(self.submit)


def select(ledger: Ledger, pipeline: Pipeline, spec: InferenceSpec, wanted: Wanted) -> Selection:
    """Choose what to take up again; changes nothing.

    Without a switch that is what costs nothing: deliveries that went wrong, and videos that failed before
    they were submitted.
    """
    found = Selection()
    if wanted.route:
        _take_stored(found, ledger, pipeline, spec, wanted)
        return found
    states = [JobState.FAILED]
    states += [JobState.EXPIRED] if wanted.failed else []
    states += [JobState.UNKNOWN] if wanted.unknown else []
    rate = pipeline.budget.cost_per_1000_frames
    for job in ledger.jobs(pipeline.name, states):
        if not _is_meant(job, wanted):
            continue
        if reason := _obsolete(ledger, pipeline.name, spec, job):
            found.left_alone[reason] += 1
        elif (place := _place(found, job, wanted)) is not None:
            place.append(job.key)
            if place is not found.probe:
                _add_to_bill(found, job, rate)
    if not wanted.unknown or wanted.failed:
        for key, route, reason in _left_deliveries(ledger, pipeline, spec, wanted):
            if reason:
                found.left_alone[reason] += 1
            else:
                found.deliver.append((key, route))
    return found


def _take_stored(found: Selection, ledger: Ledger, pipeline: Pipeline, spec: InferenceSpec, wanted: Wanted) -> None:
    """Choose stored results to route again; those of versions that were replaced would wait for ever."""
    for job in ledger.jobs(pipeline.name, [JobState.SUCCEEDED]):
        if not _is_meant(job, wanted) or job.spec != spec:
            continue
        if reason := _obsolete(ledger, pipeline.name, spec, job):
            found.left_alone[reason] += 1
        else:
            found.deliver.append((job.key, wanted.route))


def _is_meant(job: JobRecord, wanted: Wanted) -> bool:
    return not wanted.video or wanted.video in (job.video.uri, job.video.name)


def _obsolete(ledger: Ledger, pipeline: str, spec: InferenceSpec, job: JobRecord) -> str:
    """Why nobody would want this job's results, or ""."""
    if job.spec != spec:
        return "the pipeline asks for another inference now"
    return "" if ledger.current_job(pipeline, job.video.uri, spec) == job.key else "the video was replaced"


def _place(found: Selection, job: JobRecord, wanted: Wanted) -> list[str] | None:
    """The list that a job belongs to; None if it is not asked for."""
    stage = job.failure.stage if job.failure else ""
    if job.state is not JobState.UNKNOWN and not wanted.failed:
        return found.probe if stage == "probe" and not wanted.unknown else None
    # What the service has of a video that was replaced may be of another version.
    replaced = job.failure is not None and job.failure.code == VideoReplaced.code
    return found.ask if job.job_id and not replaced else found.submit


def _add_to_bill(found: Selection, job: JobRecord, rate: float | None) -> None:
    frames = sampled_frames_of(job.info, job.spec.fps) if job.info else 0
    found.unmeasured += job.info is None
    found.bill = found.bill.plus(Assessment(job.video, job.info, frames, None), rate)


def _left_deliveries(
    ledger: Ledger, pipeline: Pipeline, spec: InferenceSpec, wanted: Wanted
) -> Iterator[tuple[str, str, str]]:
    """What routes lack though its results are there, and why nobody would want it, or "": (job key, route, reason).

    Failed deliveries, and those that went wrong for what may pass, such as a full disk; a run takes up only the latter.
    """
    routes = {route.name for route in pipeline.routes}
    for delivery in ledger.deliveries(pipeline.name, [DeliveryState.FAILED, DeliveryState.PENDING]):
        job = ledger.job(delivery.job_key, pipeline=pipeline.name)
        if job is None or delivery.route not in routes or not _is_meant(job, wanted):
            continue
        went_wrong = delivery.state is DeliveryState.FAILED or delivery.failure is not None
        if went_wrong and job.state is JobState.SUCCEEDED:
            yield delivery.job_key, delivery.route, _obsolete(ledger, pipeline.name, spec, job)


def reset_deliveries(run: Run, deliver: Collection[tuple[str, str]]) -> None:
    """Make deliveries pending; the router takes up what is pending."""
    for key, route in deliver:
        run.ledger.plan_deliveries(run.pipeline.name, key, {route: run.fingerprints[route]}, run.clock())
        run.ledger.reset_delivery(run.pipeline.name, key, route, run.clock())


async def ask_again(run: Run, key: str) -> JobRecord | None:
    """Ask the service for a job that we gave up; return it as submitted if it is done or still running.

    None if another process is at work on the job, or the service has nothing to give: the job
    failed, or it was asked ``TIMES`` times, a poll interval apart, and does not know it.

    Raises:
        AuthRefused, PlanRefused, Retryable: The service does not say.
    """
    async with run.holding(key) as job:
        if job is None or job.state not in (JobState.FAILED, JobState.EXPIRED, JobState.UNKNOWN):
            return None
        same_service(run, job)
        for times in range(TIMES):
            if times and not await run.pause(run.pipeline.inference.poll_interval.total_seconds()):
                raise Retryable(f"{job.video}: the run was asked to stop while it asked for its job")
            await run.polls.turn()
            try:
                await run.backend.check(job.job_id)
            except JobFailed:
                return None
            except (JobUnknown, RequestRefused, UnicodeError):  # the last: an id that cannot be sent
                continue
            return await run.move(job, JobState.SUBMITTED)
        return None


async def plan_again(run: Run, key: str) -> JobRecord | None:
    """Make a failed, expired or unknown job planned, as if it had never been submitted; None if it is no such job."""
    async with run.holding(key) as job:
        if job is None or job.state not in (JobState.FAILED, JobState.EXPIRED, JobState.UNKNOWN):
            return None
        return await run.move(job, JobState.PLANNED)
