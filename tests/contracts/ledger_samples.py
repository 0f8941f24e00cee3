"""Videos, jobs and ways through the states, for tests of ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from tasks.domain.job import Failure, InferenceSpec, JobState, ModelRef, job_key
from tasks.domain.video import VideoInfo, VideoRef
from tasks.ledger.base import JobRecord, Ledger

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
LEASE = timedelta(minutes=2)
PIPELINE = "football-nightly"
SPEC = InferenceSpec("roboflow", (ModelRef("players", "2"), ModelRef("clip", "1")), 5.0, 0.4)
INFO = VideoInfo(
    width=1920,
    height=1080,
    rotation=90,
    fps=Fraction(30000, 1001),
    frame_count=901,
    duration_s=30.063366666666667,
    container="mp4",
    codec="h264",
)
FAILURE = Failure("poll", "job_failed", "the service ran out of memory", "try a lower fps")

# One way to each state from planned.
WAYS: dict[JobState, list[JobState]] = {
    JobState.PLANNED: [],
    JobState.SUBMITTING: [JobState.SUBMITTING],
    JobState.SUBMITTED: [JobState.SUBMITTING, JobState.SUBMITTED],
    JobState.SUCCEEDED: [JobState.SUBMITTING, JobState.SUBMITTED, JobState.SUCCEEDED],
    JobState.FAILED: [JobState.FAILED],
    JobState.EXPIRED: [JobState.SUBMITTING, JobState.SUBMITTED, JobState.EXPIRED],
    JobState.UNKNOWN: [JobState.SUBMITTING, JobState.UNKNOWN],
}

Planned = tuple[str, VideoRef, InferenceSpec]


def video(number: int = 0, *, version: str = "v1", name: str = "") -> VideoRef:
    """The video of a match; equal numbers and versions are equal videos."""
    return VideoRef(
        uri=f"s3://match-archive/2026/match-{number:05}.mp4",
        version=version,
        size=1_000_000 + number,
        modified=NOW - timedelta(hours=1, microseconds=number),
        name=name or f"match-{number:05}.mp4",
    )


def planned(ref: VideoRef | None = None, spec: InferenceSpec = SPEC) -> Planned:
    """A job as ``Ledger.plan`` takes it."""
    ref = ref or video()
    return job_key(ref, spec), ref, spec


def many(count: int) -> Iterator[Planned]:
    """So many different jobs."""
    return (planned(video(number)) for number in range(count))


def add(ledger: Ledger, job: Planned | None = None, pipeline: str = PIPELINE) -> str:
    """Plan one job and return its key."""
    job = job or planned()
    ledger.plan(pipeline, [job], NOW)
    return job[0]


def drive(ledger: Ledger, key: str, to: JobState, owner: str = "me", now: datetime = NOW) -> JobRecord:
    """Claim a planned job and move it to a state; the lease stays with the owner."""
    record = ledger.claim(key, owner, LEASE, now)
    assert record is not None
    for state in WAYS[to]:
        record = ledger.move(key, record.state, state, owner, now, token="t-1", job_id="job-1")
    return record


def found(ledger: Ledger, key: str, pipeline: str | None = None) -> JobRecord:
    """The job, which must be there."""
    record = ledger.job(key, pipeline=pipeline)
    assert record is not None
    return record
