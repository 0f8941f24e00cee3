"""Look at each video before anything is paid: can it be inferred, what will it cost, does it fit?"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import TypeVar

from prefect import get_run_logger, task

from config.pipeline import Pipeline
from tasks.copies import REUSABLE, Originals, remember_content, remember_done
from tasks.domain.budget import Limits, Spent, Submission
from tasks.domain.errors import FpsTooHigh, KeyUnsafe, Permanent, ReelrouteError, VideoUnreadable
from tasks.domain.job import JobState
from tasks.domain.sampling import sample_count, sampling_step
from tasks.domain.video import HOSTED_SUFFIXES, VideoInfo, VideoRef
from tasks.engine.probe import probe
from tasks.ledger.base import JobRecord, Ledger, Slots
from tasks.places import Firsts, lifetime_warnings
from tasks.policies import PATIENT_STEP
from tasks.run import Run
from tasks.storage.content import same_version
from tasks.storage.ranged import open_ranged
from tasks.stores import Stores
from tasks.submit import failure_of
from tasks.unforeseen import discreet_step

A = TypeVar("A")
B = TypeVar("B")

PROBES_AT_ONCE = 8
# Services with decoders of their own, which turn a picture as players do but may not mirror it.
_DECODED_ELSEWHERE = frozenset({"roboflow", "roboflow-batch"})


@dataclass(frozen=True, slots=True)
class Assessment:
    """What looking at a video told.

    Attributes:
        video: The video.
        info: What its container says, or None when it could not be read.
        frames: How many frames the service will infer.
        error: Why it cannot be inferred, or None.
        notes: What its owner may want to know.
    """

    video: VideoRef
    info: VideoInfo | None
    frames: int
    error: ReelrouteError | None
    notes: tuple[str, ...] = ()

    @property
    def minutes(self) -> float:
        """Length of the video in minutes."""
        return self.info.duration_s / 60 if self.info else 0.0


@dataclass(slots=True)
class Estimate:
    """Running totals of what a run will ask for.

    Attributes:
        videos, frames: Counts; frames are those that the service infers, not the videos' own.
        minutes: Length of the videos together.
        cost: In the user's currency, at ``cost_per_1000_frames``; None without that rate.
    """

    videos: int = 0
    frames: int = 0
    minutes: float = 0.0
    cost: float | None = None

    def plus(self, assessment: Assessment, rate: float | None) -> Estimate:
        """The totals with one more video."""
        frames = self.frames + assessment.frames
        return Estimate(
            self.videos + 1,
            frames,
            self.minutes + assessment.minutes,
            None if rate is None else frames * rate / 1000,
        )


@dataclass(slots=True)
class Plan:
    """What a run is going to do.

    Attributes:
        todo: Keys of the jobs to submit, in order.
        reuse: Keys of jobs of which a copy has results.
        copies: Key of a job that is submitted, or at the service -> keys of jobs that wait for its results.
        estimate: What they ask for.
        left_out: Limit that was reached -> number of videos left for another run.
        held: Keys of their jobs.
        notes: Video name -> what its owner may want to know.
        warnings: What holds for many videos, in sentences.
    """

    todo: list[str] = field(default_factory=list)
    reuse: list[str] = field(default_factory=list)
    copies: dict[str, list[str]] = field(default_factory=dict)
    estimate: Estimate = field(default_factory=Estimate)
    left_out: Counter[str] = field(default_factory=Counter)
    held: set[str] = field(default_factory=set)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@task(name="plan", **PATIENT_STEP)
@discreet_step
async def plan_videos(run: Run, limit: int = 0, waiting: Sequence[JobRecord] | None = None) -> Plan:
    """Probe the planned videos of today's listing (or ``waiting``) and choose those that fit limit and budget."""
    plan = await asyncio.to_thread(make_plan, run, limit, waiting)
    estimate = plan.estimate
    cost = "" if estimate.cost is None else f", about {estimate.cost:.2f}"
    log = get_run_logger()
    log.info("%d videos, %d frames, %.1f minutes%s", estimate.videos, estimate.frames, estimate.minutes, cost)
    behind = sum(map(len, plan.copies.values()))
    if plan.reuse or behind:
        log.info("%d videos take over the results of a copy, %d wait for those of one", len(plan.reuse), behind)
    for reason, count in plan.left_out.items():
        log.warning("%d videos left for another run: %s", count, reason)
    for warning in plan.warnings:
        log.warning("%s", warning)
    return plan


def make_plan(run: Run, limit: int, waiting: Iterable[JobRecord] | None = None) -> Plan:
    """As :func:`plan_videos`, or of the planned jobs ``waiting``.

    Videos that cannot be inferred are recorded as failed.

    Raises:
        NotSignable: No video of a source can be given to the service.
    """
    # A ledger that was lost or restored knows these jobs only now that their videos are listed.
    run.adopt_job_ids()
    plan, firsts = Plan(), Firsts(run.stores)
    allowance = run.allowance = allowance_of(run.pipeline, run.ledger, run.clock(), limit)
    originals = Originals(run.ledger, run.spec, run.clock(), run.slots.deadline)
    if waiting is None:
        waiting = run.ledger.jobs(run.pipeline.name, [JobState.PLANNED], seen_since=run.started_at)
        _learn_contents(run)
    for job, found, content in in_threads(lambda job: _look(run, job), waiting, PROBES_AT_ONCE):
        original, is_done = ("", False) if found.error else originals.of(job.key, job.video, content)
        if found.error is not None:
            _give_up(run, job, found.error)
        elif is_done:
            plan.reuse.append(job.key)
        elif original:
            plan.copies.setdefault(original, []).append(job.key)
        elif reason := allowance.refuses(found):
            plan.left_out[reason] += 1
            plan.held.add(job.key)
        else:
            plan.todo.append(job.key)
            originals.add(job.key, job.video, content)
            firsts.add(job.video)
            if found.notes:
                plan.notes[found.video.name] = found.notes
    plan.estimate = allowance.spent
    plan.warnings = lifetime_warnings(run.pipeline, run.stores, firsts, run.clock()) + originals.warnings
    return plan


def _learn_contents(run: Run) -> None:
    """Ask for the content of what is listed and was submitted before; its copies will want to know."""
    if run.slots.once_per_content:
        known = run.ledger.jobs(run.pipeline.name, REUSABLE, seen_since=run.started_at)
        unknown = (job for job in known if job.content is None)
        for _ in in_threads(lambda job: remember_done(run, job), unknown, PROBES_AT_ONCE):
            pass


def _look(run: Run, job: JobRecord) -> tuple[JobRecord, Assessment, str | None]:
    found, content = assess(run.pipeline, run.stores, job.video, job.info), None
    if found.info is not None and job.info is None:
        run.ledger.set_info(job.key, found.info)
    if run.slots.once_per_content and found.error is None:
        try:
            content = remember_content(run, job)
        except ReelrouteError as error:
            found = replace(found, error=error)
    return job, found, content


def _give_up(run: Run, job: JobRecord, error: ReelrouteError) -> None:
    """Record a video that cannot be inferred; one that could not be read just now stays planned."""
    if isinstance(error, Permanent) and run.ledger.claim(job.key, run.owner, run.lease, run.clock()):
        failure = failure_of(stage_of(error), error)
        run.ledger.move(job.key, job.state, JobState.FAILED, run.owner, run.clock(), failure=failure)
        run.ledger.release(job.key, run.owner)


def stage_of(error: ReelrouteError) -> str:
    """Name the step that a look at a video failed for: a key that has no URL shows before it is signed."""
    return "sign" if isinstance(error, KeyUnsafe) else "probe"


class Allowance:
    """Counts what a run has taken on and refuses what would exceed its limits.

    Attributes:
        spent: The totals so far.
    """

    def __init__(self, limits: Limits, limit: int = 0, before: Spent | None = None) -> None:
        self._limits = limits
        self._limit = limit
        self._before = before or Spent()
        self.spent = Estimate(cost=None if limits.cost_per_1000_frames is None else 0.0)

    def refuses(self, found: Assessment) -> str:
        """Take the video on and return "", or say which limit it would exceed."""
        after = self.spent.plus(found, self._limits.cost_per_1000_frames)
        if self._limit and after.videos > self._limit:
            return f"--limit {self._limit}"
        if reason := self._limits.exceeded_by(self._before.plus(Spent(after.videos, after.frames, after.minutes))):
            return reason
        self.spent = after
        return ""

    @property
    def left(self) -> dict[str, float]:
        """Limit -> what may still be spent of it."""
        limits, now = self._limits, self._before.plus(Spent(self.spent.videos, self.spent.frames, self.spent.minutes))
        cost = now.cost(limits.cost_per_1000_frames) or 0.0
        left = {
            "max_videos": limits.max_videos and limits.max_videos - now.videos,
            "max_video_minutes": limits.max_video_minutes and limits.max_video_minutes - now.minutes,
            "max_cost": limits.max_cost and limits.max_cost - cost,
        }
        return {limit: max(0, value) for limit, value in left.items() if value is not None}


def allowance_of(pipeline: Pipeline, ledger: Ledger | None, now: datetime, limit: int = 0) -> Allowance:
    """What a run that begins now may take on: its limits, less what the budget's period has spent already."""
    found = spent_in_period(pipeline, ledger, now)
    return Allowance(pipeline.budget.limits, limit, found[1] if found else None)


def spent_in_period(pipeline: Pipeline, ledger: Ledger | None, now: datetime) -> tuple[datetime, Spent] | None:
    """When the budget's period began, and what was submitted in it; None for a budget of a run."""
    since = pipeline.budget_since(now)
    if since is None:
        return None
    return since, ledger.spent(pipeline.name, since) if ledger else Spent()


def counted(run: Run, job: JobRecord, slots: Slots) -> Slots:
    """The slots to submit a job under, with what it takes from the budget."""
    info = job.info
    costs = Spent(1, sampled_frames_of(info, job.spec.fps), info.duration_s / 60) if info else Spent(1)
    limits, since = run.pipeline.budget.limits, run.pipeline.budget_since(run.clock())
    return replace(slots, submission=Submission(costs=costs, limits=limits, since=since))


def assess(pipeline: Pipeline, stores: Stores, video: VideoRef, known: VideoInfo | None) -> Assessment:
    """Look at one video, by ranged reads unless its facts are known; never raises for a bad video."""
    try:
        info = known or probe_video(stores, video)
        check_suitable(pipeline, video, info)
    except ReelrouteError as error:
        return Assessment(video, known, 0, error)
    return Assessment(video, info, sampled_frames_of(info, pipeline.inference.fps), None, notes_on(pipeline, info))


def probe_video(stores: Stores, video: VideoRef) -> VideoInfo:
    """Read a video's facts from its store.

    Raises:
        ObjectMissing, VideoReplaced: It is gone, or another version stands in its place.
        VideoUnreadable: It is no video, is empty or is cut short.
    """
    store, key = stores.locate(video)
    same_version(store.stat(key), video.version)
    with open_ranged(store, key, video.size) as file:
        try:
            return probe(file, size=video.size)
        except VideoUnreadable as error:
            raise type(error)(f"{video}: {error.message}", hint=error.hint) from None


def check_suitable(pipeline: Pipeline, video: VideoRef, info: VideoInfo) -> None:
    """Refuse what the service would refuse, before it is asked (and paid).

    Raises:
        FpsTooHigh: The pipeline asks for more frames per second than the video has.
        VideoUnreadable: The hosted service does not take this container, or a picture that is mirrored.
    """
    wanted = pipeline.inference
    try:
        sampling_step(info.fps, wanted.fps)
    except FpsTooHigh as error:
        raise FpsTooHigh(f"{video}: {error.message}") from None
    if info.mirrored and wanted.backend in _DECODED_ELSEWHERE:
        raise VideoUnreadable(
            f"{video}: its display matrix mirrors the picture, and the service may not: boxes would be elsewhere",
            hint="encode it anew without the matrix, or use `backend: local`",
        )
    if wanted.backend == "roboflow" and video.suffix.lower() not in HOSTED_SUFFIXES:
        known = ", ".join(sorted(suffix[1:] for suffix in HOSTED_SUFFIXES))
        raise VideoUnreadable(
            f"{video}: the hosted service does not take {video.suffix} files",
            hint=f"convert it to one of {known}, or use `backend: local`",
        )


def sampled_frames_of(info: VideoInfo, fps: float) -> int:
    """Count the frames that sampling at ``fps`` takes: none of a video that has fewer per second."""
    return sample_count(info.frame_count, sampling_step(info.fps, fps)) if fps <= info.fps else 0


def notes_on(pipeline: Pipeline, info: VideoInfo) -> tuple[str, ...]:
    """What the owner of a video may want to know before it is inferred."""
    fps = pipeline.inference.fps
    step = sampling_step(info.fps, fps)
    notes = []
    # Containers round: 15.0001 frames/s is 15 unless the video is long enough for it to show.
    if abs(step - round(step)) * sample_count(info.frame_count, step) >= Fraction(1, 2):
        own = float(info.fps)
        notes.append(f"{fps:g} does not divide the video's {own:.5g} frames/s: frame offsets are approximate")
    if info.track:
        notes.append(f"the film is video track {info.track + 1}: what comes before it holds only pictures")
    return tuple(notes)


def in_threads(call: Callable[[A], B], items: Iterable[A], width: int) -> Iterator[B]:
    """Call on every item, ``width`` at once, and give the results in order, streaming."""
    with ThreadPoolExecutor(width) as pool:
        window: deque[Future[B]] = deque()
        for item in items:
            window.append(pool.submit(call, item))
            if len(window) >= 2 * width:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
