"""One Prefect server, one worker and one scripted service for all tests of deployments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.ledger.base import JobRecord
from tasks.ledger.open import open_ledger
from tests.clips import write_clip
from tests.orchestra import Orchestra
from tests.rig import results
from tests.scripted_service import KEY, ScriptedService

PIPELINE = """
name: {name}
sources: [{{uri: "{videos}"}}]
inference:
  {{backend: local, model: players-x1/1, fps: 5, poll_interval: {poll}, deadline: 1h, max_in_flight: {at_once},
    submits_per_second: 1000}}
routes:
  - {{to: results, uri: "{out}"}}
{more}
"""
SETTINGS = """
REELROUTE_HOME={home}
REELROUTE_LEDGER_URL={ledger}
REELROUTE_SHARD_ABOVE=50
REELROUTE_SHARD_SIZE=30
ROBOFLOW_API_URL={service}
ROBOFLOW_API_KEY={key}
"""


@dataclass
class Studio:
    """Everything together, and what a test wants to know of it.

    Attributes:
        ledger_url: Of the ledger that all runs share.
        first_deploy: What the first ``deploy --json`` printed.
    """

    orchestra: Orchestra
    service: ScriptedService
    ledger_url: str
    first_deploy: dict[str, Any] = field(default_factory=dict)

    def write_settings(self, **more: str) -> None:
        """Write the user's ``.env``."""
        folder = self.orchestra.user
        folder.mkdir(parents=True, exist_ok=True)
        text = SETTINGS.format(
            home=folder / "home", ledger=self.ledger_url, service=self.service.base_url, key=KEY
        ) + "".join(f"{name}={value}\n" for name, value in more.items())
        (folder / ".env").write_text(text)

    def pipeline(self, name: str, videos: int, *, poll: str = "0.2s", at_once: int = 40, more: str = "") -> Path:
        """Write a pipeline over so many videos; return where its results go."""
        folder = self.orchestra.user
        source = folder / f"{name}-videos"
        source.mkdir(parents=True)
        first = write_clip(source / "0000.mp4", frames=25)
        for number in range(1, videos):
            # Another object each time, and the same bytes.
            (source / f"{number:04}.mp4").write_bytes(first.read_bytes())
        path = folder / "config" / "pipelines" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        out = folder / f"{name}-out"
        path.write_text(PIPELINE.format(name=name, videos=source, out=out, poll=poll, at_once=at_once, more=more))
        return out

    def jobs(self, pipeline: str) -> list[JobRecord]:
        """What the ledger has."""
        with closing(open_ledger(self.ledger_url, create=False)) as ledger:
            return list(ledger.jobs(pipeline))

    def submissions(self) -> int:
        """How many jobs the service has created."""
        return len(self.service.jobs)


@contextmanager
def studio(folder: Path, ledger_url: str, database: str = "") -> Iterator[Studio]:
    """A running server and a service; no worker yet."""
    with ScriptedService() as service:
        service.results = json.dumps(results(key="players-x1")).encode()
        orchestra = Orchestra(folder, database)
        made = Studio(orchestra, service, ledger_url)
        made.write_settings()
        try:
            orchestra.start_server()
            yield made
        finally:
            orchestra.stop()
