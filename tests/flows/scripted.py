"""A yard whose service plays a script: what was asked of it, and paid, can be counted."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from tasks.ledger.base import JobRecord
from tasks.ledger.open import open_ledger
from tests.flows.conftest import Finished, Yard
from tests.scripted_service import KEY, ScriptedService

PIPELINE = """
name: yard
sources: [{{uri: "{videos}"}}]
inference: {{backend: local, model: players-x1/1, fps: 5, poll_interval: 1s, deadline: {deadline}}}
budget: {{cost_per_1000_frames: 2}}
routes:
  - {{to: results, uri: "{out}/results"}}
  - {{to: labelbox, upload: false, uri: "{out}/labelbox"}}
"""


@dataclass
class ScriptedYard:
    """A yard, and the service that its commands talk to.

    Attributes:
        yard: Files and the command line.
        service: What answers.
    """

    yard: Yard
    service: ScriptedService

    def __post_init__(self) -> None:
        self.yard.environment |= {"ROBOFLOW_API_URL": self.service.base_url, "ROBOFLOW_API_KEY": KEY}
        self.pipeline()

    def pipeline(self, deadline: str = "1h") -> Path:
        """Write the pipeline's file where its name is looked up."""
        path = self.yard.folder / "config" / "pipelines" / "yard.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PIPELINE.format(videos=self.yard.videos, out=self.yard.out, deadline=deadline))
        return path

    def stopped(self, number: int, when: Callable[[], bool], *arguments: str) -> Finished:
        """Run a command, and send it a signal as soon as something has happened; Ctrl-C goes to its children too."""
        with subprocess.Popen(
            self.yard.command(*arguments),
            cwd=self.yard.folder,
            env=self.yard.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            until(lambda: when() or process.poll() is not None)
            if process.poll() is None:  # else what it said tells why
                (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
            stdout, stderr = process.communicate(timeout=120)
        return Finished(process.returncode, stdout, stderr)

    def jobs(self) -> list[JobRecord]:
        """What the ledger has."""
        with closing(open_ledger(f"sqlite:///{self.yard.folder}/home/ledger.db", create=False)) as ledger:
            return list(ledger.jobs("yard"))


def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; give up after two minutes."""
    end = monotonic() + 120
    while not condition():
        assert monotonic() < end
        sleep(0.05)
