"""What a run would do, without doing any of it: list, compare with the ledger, look, estimate."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from config.pipeline import Pipeline
from tasks.copies import Originals, content_of
from tasks.discover import Listing
from tasks.domain.errors import ReelrouteError
from tasks.domain.job import InferenceSpec, JobState, job_key
from tasks.domain.video import VideoRef, printable
from tasks.ledger.base import JobRecord, Ledger
from tasks.places import Firsts, lifetime_warnings
from tasks.plan import PROBES_AT_ONCE, Allowance, Assessment, Estimate, allowance_of, assess, in_threads, stage_of
from tasks.stores import Stores

# The longest videos are named: they decide when the run ends.
LONGEST_SHOWN = 5

Look = tuple[VideoRef, str, Assessment | None, str | None]


@dataclass(slots=True)
class Preview:
    """What a run would find and do.

    Attributes:
        discovered: Videos in the sources.
        not_taken: Reason -> objects in the sources that are not taken for videos to infer.
        known: Job state -> videos that the ledger has an answer (or a job) for; nothing to submit.
        reused: Videos that would take over the results of a copy.
        estimate: What the run would submit.
        left_out: Limit that would be reached -> videos left for another run.
        longest: The longest videos to submit: (minutes, name).
        failures: Videos that would fail before anything is paid, and why.
        warnings: Sentences worth reading first.
    """

    discovered: int = 0
    not_taken: dict[str, int] = field(default_factory=dict)
    known: Counter[str] = field(default_factory=Counter)
    reused: int = 0
    estimate: Estimate = field(default_factory=Estimate)
    left_out: Counter[str] = field(default_factory=Counter)
    longest: list[tuple[float, str]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self, pipeline: str) -> dict[str, Any]:
        """As ``plan --json`` prints it."""
        longest = [{"video": name, "minutes": round(minutes, 2)} for minutes, name in self.longest]
        return {"pipeline": pipeline, **asdict(self), "longest": longest}


def preview(
    pipeline: Pipeline,
    spec: InferenceSpec,
    stores: Stores,
    ledger: Ledger | None,
    now: datetime,
    *,
    limit: int = 0,
    looked: Callable[[str], None] = lambda _: None,
) -> Preview:
    """Work out what a run would do now.

    Args:
        ledger: None where there is none yet.
        looked: Is told the name of each video as it has been looked at.

    Raises:
        LocationMissing: A source's folder or bucket does not exist.
    """
    found = Preview()
    allowance = allowance_of(pipeline, ledger, now, limit)
    listing, firsts = Listing(pipeline, stores, now), Firsts(stores)
    originals = Originals(ledger, spec, now, pipeline.inference.deadline)

    def look(video: VideoRef) -> Look:
        job = ledger.job(job_key(video, spec)) if ledger else None
        if job is not None and job.state is not JobState.PLANNED:
            return video, str(job.state), None, None
        return video, "", *_assess(pipeline, stores, video, job)

    for video, state, assessment, content in in_threads(look, listing, PROBES_AT_ONCE):
        looked(str(video))
        key = job_key(video, spec)
        if assessment is None:
            found.known[state] += 1
        elif assessment.error is None and originals.of(key, video, content)[0]:
            found.reused += 1
        elif _add(found, allowance, assessment):
            originals.add(key, video, content)
            firsts.add(video)
    found.discovered, found.not_taken = listing.videos, dict(listing.not_taken)
    found.estimate = allowance.spent
    found.warnings[:0] = listing.warnings + _signing(pipeline, stores, firsts, now) + originals.warnings
    found.longest.sort(reverse=True)
    return found


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


def _add(found: Preview, allowance: Allowance, assessment: Assessment) -> bool:
    """Count a video that has not been inferred yet; say whether it would be submitted."""
    name, error = assessment.video.name, assessment.error
    if error is not None:
        found.failures.append(
            {"video": name, "stage": stage_of(error), "code": error.code, "message": error.message, "hint": error.hint}
        )
    elif reason := allowance.refuses(assessment):
        found.left_out[reason] += 1
    else:
        heapq.heappush(found.longest, (assessment.minutes, name))
        if len(found.longest) > LONGEST_SHOWN:
            heapq.heappop(found.longest)
        found.warnings += [f"{printable(name)}: {note}" for note in assessment.notes]
        return True
    return False
