"""A labelbox route on a stand-in of Labelbox: deliveries, and what is there afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.domain.errors import ReelrouteError
from tasks.domain.video import SignedUrl, VideoRef
from tasks.sinks.base import Delivery, Receipt
from tasks.sinks.labelbox.api import Labelbox
from tasks.sinks.labelbox.global_key import global_key
from tasks.sinks.labelbox.patience import Patience
from tasks.sinks.labelbox.project import ProjectSteps
from tasks.sinks.labelbox.style import Style
from tasks.sinks.labelbox.upload_sink import LabelboxUploadSink
from tasks.sinks.labelbox.workspace import Names
from tests.contracts.deliveries import Box, Frames, make_delivery
from tests.emulators.labelbox.server import KEY, LabelboxServer
from tests.emulators.labelbox.world import Media

NAMES = Names(dataset="matches", ontology="football", model="players", model_run="night 1")
STYLE = Style(min_confidence=None, max_gap=timedelta(seconds=1), keyframe_tolerance=0.0, classes={})
SEEN: Frames = [
    [Box(320, 180, 40, 80, track=1), Box(100, 50, 10, 10, "ball", 0.9, track=2)],
    [Box(330, 181, 40, 80, track=1), Box(500, 180, 40, 80, track=3)],
    [],
    [Box(350, 186, 40, 80, track=1)],
]
ENDS = datetime(2026, 5, 8, tzinfo=UTC)


def open_box(server: LabelboxServer, *, key: str = KEY, **patience: Any) -> Labelbox:
    """The workspace as the product opens it; it waits briefly, and gives up soon."""
    waits = Patience(**{"attempts": 4, "deadline_s": 20.0, "sleep": _briefly, **patience})
    return Labelbox(key, endpoint=server.endpoint, rest_endpoint=server.rest_endpoint, patience=waits)


def _briefly(seconds: float) -> None:
    import time

    time.sleep(min(seconds, 0.02))


class Workplace:
    """The route's sink, as one process after another makes it."""

    def __init__(self, server: LabelboxServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.signed: list[VideoRef] = []

    def sink(
        self, *, names: Names = NAMES, style: Style = STYLE, steps: ProjectSteps | None = None, **box: Any
    ) -> LabelboxUploadSink:
        return LabelboxUploadSink(
            open_box(self.server, **box),
            names=names,
            style=style,
            sign=self._sign,
            steps=steps or ProjectSteps(),
            journal=self.folder / "journal",
        )

    def _sign(self, video: VideoRef) -> SignedUrl:
        self.signed.append(video)
        return SignedUrl(f"https://bucket.example.com/{video.name}?signature=very-secret", ENDS)

    def delivery(self, name: str = "a.mp4", frames: Frames = SEEN, **how: Any) -> Delivery:
        """A video that Labelbox, too, sees as 640x360 and 100 frames."""
        delivery = make_delivery(self.folder, frames, name=name, **how)
        key = global_key(delivery.video.uri)
        self.server.world.media.setdefault(key, Media(*delivery.info.display_size, delivery.info.frame_count))
        return delivery

    def deliver(self, deliveries: Sequence[Delivery], sink: LabelboxUploadSink | None = None, **how: Any) -> Delivered:
        """Deliver a batch, in a process of its own unless a sink is given."""
        sink = sink or self.sink(**how)
        receipts = {delivery.video.name: sink.deliver(delivery) for delivery in deliveries}
        end = sink.finish(list(deliveries))
        assert end is not None
        refused = {d.video.name: end.refused[d.job_key] for d in deliveries if d.job_key in end.refused}
        return Delivered(receipts, end, refused)


class Delivered:
    """How a batch went."""

    def __init__(self, receipts: dict[str, Receipt], end: Receipt, refused: dict[str, ReelrouteError]) -> None:
        self.receipts = receipts
        self.end = end
        self.refused = refused


def renamed(names: Names, **changes: str) -> Names:
    return replace(names, **changes)
