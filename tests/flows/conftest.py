"""One inference service for all tests of whole runs, and the command line as people call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.clips import write_clip
from tests.flows.in_process import InProcess
from tests.scripted_service import KEY as SCRIPTED_KEY
from tests.scripted_service import ScriptedService

ROOT = Path(__file__).parents[2]
KEY = "a-key-for-tests"

PIPELINE = """
name: {name}
sources: [{{uri: "{videos}"}}]
inference: {{backend: local, model: {model}, fps: {fps}, confidence: 0.3, poll_interval: 1s}}
routes:
  - {{to: results, uri: "{out}/results"}}
  - {{to: lightly, datasource: "{out}/lightly", task_name: yard}}
  - {{to: labelbox, upload: false, uri: "{out}/labelbox"}}
"""


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a video inference service that runs for as long as the tests do."""
    home = tmp_path_factory.mktemp("service")
    command = [sys.executable, "-m", "deployments.cli", "serve", "inference", "--json", "--port", "0"]
    environment = {**os.environ, "REELROUTE_HOME": str(home), "ROBOFLOW_API_KEY": KEY}
    with (
        (home / "log").open("w") as log,
        subprocess.Popen(
            [*command, "--exit-with-parent"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (home / "log").read_text()
        yield str(json.loads(line)["url"])
        process.terminate()


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.stdout, f"ended with {self.code}, and printed no object: {self.stderr}"
        value: dict[str, Any] = json.loads(self.stdout)
        return value


@dataclass
class Yard:
    """A folder with videos and a pipeline over it, and the command line in it.

    Attributes:
        folder: Working directory of the commands.
        environment: What commands get besides the machine's own.
    """

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def videos(self) -> Path:
        return self.folder / "videos"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def clip(self, name: str, **settings: Any) -> Path:
        """Put a clip of one second among the videos."""
        path = self.videos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_clip(path, frames=25, **settings)

    def pipeline(self, *, name: str = "yard", model: str = "oidv4/1", fps: float = 5) -> str:
        """Write the pipeline file and return its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(PIPELINE.format(name=name, videos=self.videos, out=self.out, model=model, fps=fps))
        return str(path)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "deployments.cli", *arguments]

    def env(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("ROBOFLOW", "REELROUTE"))}
        # -m finds the project from any folder, installed or not.
        return {**clean, "PYTHONPATH": str(ROOT), "REELROUTE_HOME": str(self.folder / "home"), **self.environment}

    def reelroute(self, *arguments: str) -> Finished:
        """Run a command to its end."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.env(), capture_output=True, text=True, timeout=280
        )
        return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def yard(tmp_path: Path, prefect_server: str, service: str) -> Yard:
    """An empty yard whose commands use the tests' Prefect server and inference service."""
    (tmp_path / "videos").mkdir()
    environment = {"PREFECT_API_URL": prefect_server, "ROBOFLOW_API_URL": service, "ROBOFLOW_API_KEY": KEY}
    return Yard(tmp_path, environment)


@pytest.fixture
def lone_yard(tmp_path: Path) -> Yard:
    """An empty yard on a machine where nothing was set up: commands start what they need."""
    (tmp_path / "videos").mkdir()
    return Yard(tmp_path, {"PREFECT_HOME": str(tmp_path / "prefect")})


@pytest.fixture
def in_process(prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    """A folder with a pipeline and no videos yet."""
    with ScriptedService() as service:
        made = InProcess(tmp_path, service)
        made.videos.mkdir()
        made.pipeline()
        settings = {
            "REELROUTE_HOME": str(made.home),
            "ROBOFLOW_API_URL": service.base_url,
            "ROBOFLOW_API_KEY": SCRIPTED_KEY,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield made
