"""A delivery by a process of its own; imports nothing that would make that process slow to start."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tasks.sinks.labelbox.imports import ImportKind
from tasks.sinks.labelbox.project import ProjectSteps
from tests.unit.tasks.sinks.labelbox.workplace import NAMES, Workplace, renamed

VIDEOS = ("a.mp4", "b.mp4")
# Everything that the product asks of Labelbox: with a project and all of its steps, or without.
WITHOUT_PROJECT: dict[str, Any] = {"names": NAMES, "steps": ProjectSteps()}
WITH_PROJECT: dict[str, Any] = {
    "names": renamed(NAMES, project="annotators"),
    "steps": ProjectSteps(annotations=ImportKind.LABELS, labels_to_run=True),
}


# Into what an earlier night left: classes are added, annotations replaced, and an integration reads the videos.
REPLACING: dict[str, Any] = {"names": renamed(NAMES, integration="default"), "steps": ProjectSteps()}


def deliver_elsewhere(endpoint: str, rest_endpoint: str, folder: Path, how: dict[str, Any]) -> None:
    """Deliver the videos to a stand-in that another process runs."""
    world = SimpleNamespace(media={})
    server = SimpleNamespace(endpoint=endpoint, rest_endpoint=rest_endpoint, world=world)
    workplace = Workplace(server, folder)  # type: ignore[arg-type]
    workplace.deliver([workplace.delivery(name) for name in VIDEOS], **how)
