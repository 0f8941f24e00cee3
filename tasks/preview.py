"""What a run would do, without doing any of it: list, compare with the ledger, look, estimate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from config.pipeline import Pipeline
from config.settings import Settings
from tasks.choose import Estimate, Looked, Plan, allowance_of, choose, in_threads
from tasks.copies import REUSABLE, Originals, content_of
from tasks.discover import Listing
from tasks.domain.errors import CredentialsRefused, ReelrouteError
from tasks.domain.job import InferenceSpec, JobState, job_key
from tasks.domain.video import VideoRef
from tasks.ledger.base import JobRecord, Ledger
from tasks.places import Firsts, lifetime_warnings
from tasks.plan import PROBES_AT_ONCE, Assessment, assess, stage_of
from tasks.stored import StoredResults, warn_of_earlier_work
from tasks.stores import Stores, open_results

# A job's key, its video, and what the ledger knows of it.
Waiting = tuple[str, VideoRef, JobRecord | None]


@dataclass(slots=True)
class Preview:
    """What a run would find and do.

    Attributes:
        discovered: Videos in the sources.
        not_taken: Reason -> objects in the sources that are not taken for videos to infer.
        known: Job state -> videos that the ledger has an answer (or a job) for; nothing to submit.
        plan: What would become of the others.
        warnings: Sentences worth reading first.
    """

    discovered: int = 0
    not_taken: dict[str, int] = field(default_factory=dict)
    known: Counter[str] = field(default_factory=Counter)
    plan: Plan = field(default_factory=Plan)
    warnings: list[str] = field(default_factory=list)

    @property
    def estimate(self) -> Estimate:
        """What the run would submit."""
        return self.plan.estimate

    @property
    def reused(self) -> int:
        """Videos that would take over results: of a copy, or their own in the results store."""
        return len(self.plan.reuse) + sum(map(len, self.plan.copies.values()))

    @property
    def left_out(self) -> dict[str, int]:
        """Limit that would be reached -> videos left for another run."""
        return dict(self.plan.left_out)

    @property
    def longest(self) -> list[tuple[float, str]]:
        """The longest videos to submit, the longest first: (minutes, name)."""
        return sorted(self.plan.longest, reverse=True)

    @property
    def failures(self) -> list[dict[str, str]]:
        """Videos that would fail before anything is paid, and why."""
        return [_failure(found.video, found.error) for _, found in self.plan.failures if found.error is not None]

    def as_json(self, pipeline: str) -> dict[str, Any]:
        """As ``plan --json`` prints it."""
        return {
            "pipeline": pipeline,
            "discovered": self.discovered,
            "not_taken": self.not_taken,
            "known": dict(self.known),
            "reused": self.reused,
            "estimate": asdict(self.estimate),
            "left_out": self.left_out,
            "longest": [{"video": name, "minutes": round(minutes, 2)} for minutes, name in self.longest],
            "failures": self.failures,
            "warnings": self.warnings,
        }


def _failure(video: VideoRef, error: ReelrouteError) -> dict[str, str]:
    said = {"code": error.code, "message": error.message, "hint": error.hint}
    return {"video": video.name, "stage": stage_of(error), **said}


def preview(
    pipeline: Pipeline,
    spec: InferenceSpec,
    stores: Stores,
    ledger: Ledger | None,
    now: datetime,
    settings: Settings,
    *,
    limit: int = 0,
    looked: Callable[[str], None] = lambda _: None,
) -> Preview:
    """Work out what a run would do now.

    Args:
        ledger: None where there is none yet.
        settings: Say where stored results are.
        looked: Is told the name of each video as it comes to it.

    Raises:
        LocationMissing: A source's folder or bucket does not exist.
        CredentialsRefused: The credentials ended while videos were read.
        StorageUnavailable: The results store does not say what it has.
    """
    found = Preview()
    stored = StoredResults(open_results(settings))
    listing, firsts = Listing(pipeline, stores, now), Firsts(stores)
    originals = Originals(ledger, spec, now, pipeline.inference.deadline)
    new: dict[str, VideoRef] = {}
    planned: dict[str, VideoRef] = {}

    def read(video: VideoRef) -> Waiting:
        key = job_key(video, spec)
        return key, video, ledger.job(key) if ledger else None

    for key, video, job in in_threads(read, listing, PROBES_AT_ONCE):
        looked(str(video))
        if job is None:
            new[key] = video
        elif job.state is JobState.PLANNED:
            planned[key] = video
        else:
            found.known[str(job.state)] += 1
            _learn_content(pipeline, stores, originals, job)

    def look(waiting: Waiting) -> Looked:
        key, video, job = waiting
        looked(str(video))
        assessment, content = _assess(pipeline, stores, video, job)
        if isinstance(assessment.error, CredentialsRefused):  # and so would all the others be
            raise assessment.error
        return key, assessment, content, assessment.error is None and stored.has(key)

    waiting = _in_turn(ledger, planned, new)
    allowance = allowance_of(pipeline, ledger, now, limit)
    found.plan = choose(in_threads(look, waiting, PROBES_AT_ONCE), allowance, originals, firsts)
    found.discovered, found.not_taken = listing.videos, dict(listing.not_taken)
    found.warnings = warn_of_earlier_work(pipeline, settings, stores, ledger, now.date()) + listing.warnings
    found.warnings += _signing(pipeline, stores, firsts, now) + found.plan.warnings + found.plan.notes
    return found


def _in_turn(ledger: Ledger | None, planned: dict[str, VideoRef], new: dict[str, VideoRef]) -> Iterator[Waiting]:
    """The videos in the order in which a run comes to them: the ledger's, and behind it the listing's."""
    if ledger is not None and planned:
        for job in ledger.jobs(states=[JobState.PLANNED]):
            if job.key in planned:
                yield job.key, planned[job.key], job
    for key, video in new.items():
        yield key, video, None


def _learn_content(pipeline: Pipeline, stores: Stores, originals: Originals, job: JobRecord) -> None:
    """Count a job that was submitted before anybody wanted to know its content, as a run would find it."""
    if pipeline.inference.dedupe == "none" or job.state not in REUSABLE or job.content is not None:
        return
    try:
        originals.add(job.key, job.video, content_of(stores, job.video))
    except ReelrouteError:  # it is inferred, so nothing depends on it
        return


def _signing(pipeline: Pipeline, stores: Stores, firsts: Firsts, now: datetime) -> list[str]:
    try:
        return lifetime_warnings(pipeline, stores, firsts, now)
    except ReelrouteError as error:  # a run would end here; there is more to tell of the plan
        return [f"{error.code}: {error.message}" + (f" ({error.hint})" if error.hint else "")]


def _assess(
    pipeline: Pipeline, stores: Stores, video: VideoRef, job: JobRecord | None
) -> tuple[Assessment, str | None]:
    """Look at a video that was not submitted yet, and at its content where copies count."""
    found = assess(pipeline, stores, video, job.info if job else None)
    if pipeline.inference.dedupe == "none" or found.error is not None:
        return found, None
    known = job.content if job else None
    try:
        return found, content_of(stores, video) if known is None else known
    except ReelrouteError as error:
        return replace(found, error=error), None
