"""Look at each video before anything is paid: can it be inferred, what will it cost, does it fit?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from config.pipeline import Pipeline
from tasks.access import Access, listed
from tasks.choose import Looked, Plan, allowance_of, choose, in_threads
from tasks.copies import REUSABLE, Originals, remember_content, remember_done
from tasks.domain.budget import Spent, Submission
from tasks.domain.errors import FpsTooHigh, KeyUnsafe, Permanent, ReelrouteError, VideoTooLarge, VideoUnreadable
from tasks.domain.job import JobState
from tasks.domain.sampling import sample_count, sampling_step
from tasks.domain.video import HOSTED_SUFFIXES, VideoInfo, VideoRef
from tasks.engine.prober import probe
from tasks.ledger.base import JobRecord, Slots
from tasks.places import Firsts, lifetime_warnings
from tasks.storage.content import same_version
from tasks.storage.ranged import open_ranged
from tasks.stored import warn_of_earlier_work
from tasks.stores import Stores

if TYPE_CHECKING:
    from tasks.run import Run

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


def make_plan(run: Run, limit: int, waiting: Iterable[JobRecord] | None = None) -> Plan:
    """Probe the planned videos of today's listing (or ``waiting``) and choose those that fit limit and budget.

    Videos that cannot be inferred are recorded as failed; see :mod:`tasks.access` for those that may not be read.

    Raises:
        NotSignable: No video of a source can be given to the service.
    """
    # A ledger that was lost or restored knows these jobs only now that their videos are listed.
    run.adopt_job_ids()
    allowance, firsts = allowance_of(run.pipeline, run.ledger, run.clock(), limit), Firsts(run.stores)
    run.allowance = allowance
    originals = Originals(run.ledger, run.spec, run.clock(), run.slots.deadline)
    if waiting is None:
        waiting = run.ledger.jobs(run.pipeline.name, [JobState.PLANNED], seen_since=run.started_at)
        _learn_contents(run)
    access = Access(run.stores, partial(listed, run.ledger, run.pipeline.name, run.started_at))
    plan = choose(_looked_at(run, waiting, access), allowance, originals, firsts)
    if access.ended:
        return Plan(stopped=access.ended)
    run.stored.uncounted.update(plan.reuse)
    warnings = warn_of_earlier_work(run.pipeline, run.settings, run.stores, run.ledger, run.clock().date())
    plan.warnings[:0] = warnings + lifetime_warnings(run.pipeline, run.stores, firsts, run.clock())
    return plan


def _looked_at(run: Run, waiting: Iterable[JobRecord], access: Access) -> Iterator[Looked]:
    """Look at each video and record those that cannot be inferred; end where access to them does."""
    for job, (key, found, content, is_stored) in in_threads(lambda job: _look(run, job), waiting, PROBES_AT_ONCE):
        for bad, error in access.failed(job, found.error):
            _give_up(run, bad, error)
        if access.ended:
            return
        yield key, found, content, is_stored
    for bad, error in access.rest():
        _give_up(run, bad, error)


def _learn_contents(run: Run) -> None:
    """Ask for the content of what is listed and was submitted before; its copies will want to know."""
    if run.slots.once_per_content:
        known = run.ledger.jobs(run.pipeline.name, REUSABLE, seen_since=run.started_at)
        unknown = (job for job in known if job.content is None)
        for _ in in_threads(lambda job: remember_done(run, job), unknown, PROBES_AT_ONCE):
            pass


def _look(run: Run, job: JobRecord) -> tuple[JobRecord, Looked]:
    found, content = assess(run.pipeline, run.stores, job.video, job.info), None
    if found.info is not None and job.info is None:
        run.ledger.set_info(job.key, found.info)
    if run.slots.once_per_content and found.error is None:
        try:
            content = remember_content(run, job)
        except ReelrouteError as error:
            found = replace(found, error=error)
    return job, (job.key, found, content, found.error is None and run.stored.has(job.key))


def _give_up(run: Run, job: JobRecord, error: ReelrouteError) -> None:
    """Record a video that cannot be inferred; one that could not be read just now stays planned."""
    from tasks.submit import failure_of  # its way leads to Prefect, which takes seconds, and only a run comes here

    if isinstance(error, Permanent) and run.ledger.claim(job.key, run.owner, run.lease, run.clock()):
        failure = failure_of(stage_of(error), error)
        run.ledger.move(job.key, job.state, JobState.FAILED, run.owner, run.clock(), failure=failure)
        run.ledger.release(job.key, run.owner)


def stage_of(error: ReelrouteError) -> str:
    """Name the step that a look at a video failed for: a key that has no URL shows before it is signed."""
    return "sign" if isinstance(error, KeyUnsafe) else "probe"


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
        VideoTooLarge: It takes more memory than a video is given.
    """
    store, key = stores.locate(video)
    same_version(store.stat(key), video.version)
    with open_ranged(store, key, video.size) as file:
        try:
            return probe(file, size=video.size)
        except (VideoUnreadable, VideoTooLarge) as error:
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
