"""A delivery by a process of its own; imports nothing that would make that process slow to start."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from tests.unit.tasks.sinks.labelbox.workplace import Workplace

VIDEOS = ("a.mp4", "b.mp4")


def deliver_elsewhere(endpoint: str, rest_endpoint: str, folder: Path) -> None:
    """Deliver the videos to a stand-in that another process runs."""
    world = SimpleNamespace(media={})
    server = SimpleNamespace(endpoint=endpoint, rest_endpoint=rest_endpoint, world=world)
    workplace = Workplace(server, folder)  # type: ignore[arg-type]
    workplace.deliver([workplace.delivery(name) for name in VIDEOS])
