"""What a run would do, without doing any of it: list, compare with the ledger, look, estimate."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from config.pipeline import Pipeline
from tasks.discover import Listing
from tasks.domain.job import InferenceSpec, JobState, job_key
from tasks.domain.video import VideoRef, printable
from tasks.ledger.base import Ledger
from tasks.lifetimes import Lifetimes
from tasks.plan import PROBES_AT_ONCE, Allowance, Assessment, Estimate, assess, in_threads
from tasks.stores import Stores

# The longest videos are named: they decide when the run ends.
LONGEST_SHOWN = 5

Look = tuple[VideoRef, str, Assessment | None]


@dataclass(slots=True)
class Preview:
    """What a run would find and do.

    Attributes:
        discovered: Videos in the sources.
        known: Job state -> videos that the ledger has an answer (or a job) for; nothing to submit.
        estimate: What the run would submit.
        left_out: Limit that would be reached -> videos left for another run.
        longest: The longest videos to submit: (minutes, name).
        failures: Videos that would fail before anything is paid, and why.
        warnings: Sentences worth reading first.
    """

    discovered: int = 0
    known: Counter[str] = field(default_factory=Counter)
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
    allowance = Allowance(pipeline.budget, limit)
    listing = Listing(pipeline, stores, now)
    lifetimes = Lifetimes(pipeline, stores)

    def look(video: VideoRef) -> Look:
        job = ledger.job(job_key(video, spec)) if ledger else None
        if job is not None and job.state is not JobState.PLANNED:
            return video, str(job.state), None
        return video, "", assess(pipeline, stores, video, job.info if job else None)

    for video, state, assessment in in_threads(look, listing, PROBES_AT_ONCE):
        looked(str(video))
        if assessment is None:
            found.known[state] += 1
        else:
            _add(found, allowance, assessment)
            if assessment.error is None and (warning := lifetimes.warning(video, now)):
                found.warnings.append(warning)
    found.discovered = listing.videos
    found.estimate = allowance.spent
    found.warnings[:0] = listing.warnings
    found.longest.sort(reverse=True)
    return found


def _add(found: Preview, allowance: Allowance, assessment: Assessment) -> None:
    """Count a video that has not been inferred yet."""
    name, error = assessment.video.name, assessment.error
    if error is not None:
        found.failures.append(
            {"video": name, "stage": "probe", "code": error.code, "message": error.message, "hint": error.hint}
        )
    elif reason := allowance.refuses(assessment):
        found.left_out[reason] += 1
    else:
        heapq.heappush(found.longest, (assessment.minutes, name))
        if len(found.longest) > LONGEST_SHOWN:
            heapq.heappop(found.longest)
        found.warnings += [f"{printable(name)}: {note}" for note in assessment.notes]
