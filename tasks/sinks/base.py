"""What reelroute asks of a place where predictions go.

A delivery is one job to one route. Sinks are idempotent: delivering twice leaves one copy,
and a delivery that died half-way is completed by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from tasks.domain.errors import ReelrouteError
from tasks.domain.job import InferenceSpec
from tasks.domain.predictions import Predictions
from tasks.domain.video import VideoInfo, VideoRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One video's predictions on their way to a route.

    Attributes:
        video: The object version.
        info: What its container says; geometry is scaled to this.
        job_key: Names the job; the same for every route, and for ever: ids that sinks derive
            from it are the same at each delivery.
        spec: What was asked of the service.
        model_classes: model key in the results -> class names in the order of the model's ids,
            as the service's control plane gave them; may lack a model.
        predictions: Parsed, thresholded by nobody yet, every detection with a track id.
        results_file: The service's JSON as it came, on local disk, not compressed; its folder is
            the run's own and a place to stage things in.
        open_video: Opens the video for reading (seekable, ranged); the caller closes it.
    """

    video: VideoRef
    info: VideoInfo
    job_key: str
    spec: InferenceSpec
    model_classes: dict[str, tuple[str, ...]]
    predictions: Predictions
    results_file: Path
    open_video: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a delivery left behind.

    Attributes:
        outputs: URIs of what people will look for first (a file, a folder), few.
        counts: Name -> number, such as ``{"frames": 50, "tracks": 7}``.
        warnings: What was left out or approximated, in sentences.
        refused: Of a batch's end: job key -> why this video is not in place after all.
    """

    outputs: tuple[str, ...]
    counts: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refused: Mapping[str, ReelrouteError] = field(default_factory=dict)


class Sink(Protocol):
    """Takes deliveries, one at a time. Synchronous; called from a worker thread.

    Raises only :class:`tasks.domain.errors.ReelrouteError`: ``Retryable`` ones are tried
    again, ``Permanent`` ones end as a failed delivery of this video alone.
    """

    def deliver(self, delivery: Delivery) -> Receipt:
        """Put one video's predictions in place, whole, exactly once however often it is called."""
        ...

    def finish(self, delivered: Sequence[Delivery]) -> Receipt | None:
        """Write what spans videos, after a run's or a batch's last delivery; None if nothing does.

        It is the moment of uploads that carry several videos: those that fail alone are in the
        receipt's ``refused``; what is raised goes for the whole batch.
        Batches may end at the same time in several processes, and none loses what another wrote.
        """
        ...
