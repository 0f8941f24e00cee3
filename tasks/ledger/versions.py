"""What reelroute asks of the ledger about versions: which one of a video is current, and what older ones left behind.

A pipeline's current job of a video is the one that it listed last: an old version that came back is current
again, whatever was inferred meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tasks.domain.job import DeliveryState, InferenceSpec, JobState


@dataclass(frozen=True, slots=True)
class Replaced:
    """Jobs that have ended or wait, of videos whose current job is another.

    Attributes:
        keys: Of the jobs.
        jobs: State -> how many of them.
        deliveries: Route -> state -> how many of theirs.
    """

    keys: frozenset[str] = frozenset()
    jobs: Mapping[JobState, int] = field(default_factory=dict)
    deliveries: Mapping[str, Mapping[DeliveryState, int]] = field(default_factory=dict)


class Versions(Protocol):
    """Part of the ledger, with its promises on faults, times and threads."""

    def current_job(self, pipeline: str, uri: str, spec: InferenceSpec) -> str:
        """Key of the job under ``spec`` of the version that the pipeline listed last; "" if there is none."""
        ...

    def overtaken(self, pipeline: str, spec: InferenceSpec, *, seen_since: datetime) -> list[tuple[str, str]]:
        """Find delivered (job key, route), of videos listed since then, that another job has written over.

        Another version of the video, or another inference, was brought to the same route after it, in
        whole or in part.
        """
        ...

    def replaced(self, pipeline: str | None = None) -> Replaced:
        """Find the jobs that are not current in any pipeline (of ``pipeline``, in that one).

        Those at a service are not among them, for as long as they are there.
        """
        ...
