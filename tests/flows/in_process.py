"""Flows called in the test's own process, in a folder of their own, beside a service that plays a script."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.scripted_service import ScriptedService

PIPELINE = """
name: yard
sources: [{{uri: "{videos}"}}]
inference: {{backend: local, model: players-x1/1, fps: 5, poll_interval: 1s, deadline: 1h}}
budget: {budget}
routes:
  - {{to: results, uri: "{out}/results"}}
"""


@dataclass
class InProcess:
    """A user's folder, which is the working folder of the test.

    Attributes:
        folder: Below it are ``videos``, ``out``, ``home`` and ``config/pipelines``.
        service: What answers, and counts what it was asked to do.
    """

    folder: Path
    service: ScriptedService

    @property
    def videos(self) -> Path:
        return self.folder / "videos"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def pipeline(self, budget: str = "{}") -> None:
        """Write the pipeline's file where its name is looked up."""
        path = self.folder / "config" / "pipelines" / "yard.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PIPELINE.format(videos=self.videos, out=self.out, budget=budget))
