"""A working folder with modules named as ours: none of them is executed, whatever we start there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.declared import declared
from deployments.pull import PACKAGES
from deployments.services.events.starters import ProcessStarter
from tasks.ledger.inbox import Batch, BatchState
from tests.rig import NOON, Rig

ROOT = Path(__file__).parents[3]
ENTRYPOINTS = [one.entrypoint for one in declared()]
LOAD = """
import sys
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.importtools import import_object
import_object("deployments.pull.work_in")(directory=sys.argv[1])
for entrypoint in sys.argv[2:]:
    load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
"""
REGISTER = """
import sys
from deployments.register import load_flow
for entrypoint in sys.argv[1:]:
    load_flow(entrypoint)
"""


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A folder for a pipeline."""
    rig = Rig(tmp_path)
    rig.videos.mkdir()
    return rig


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder whose modules leave a trace and end the process when they are imported."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    code = (
        f"open({str(folder / 'executed')!r}, 'w').write(__name__)\nraise SystemExit('a user\\'s module was imported')"
    )
    for name in PACKAGES[:2]:
        (folder / f"{name}.py").write_text(code)
    for name in PACKAGES[2:]:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(code)
    return folder


def started(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a console script is run: its folder, not the current one, is where modules are looked for."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_a_worker_runs_our_flows(hostile: Path, tmp_path: Path) -> None:
    """Prefect's own loading of every deployment, in the folder that was registered."""
    done = started(LOAD, str(hostile), *ENTRYPOINTS, cwd=tmp_path)

    assert 0 == done.returncode, done.stderr
    assert not (hostile / "executed").exists()


def test_deploy_registers_our_flows(hostile: Path) -> None:
    """The schema of a form is read from our flow."""
    done = started(REGISTER, *ENTRYPOINTS, cwd=hostile)

    assert 0 == done.returncode, done.stderr
    assert not (hostile / "executed").exists()


def test_the_service_of_a_run_starts(hostile: Path, rig: Rig) -> None:
    """As `backend: local` starts it: it says its address, and nothing of the folder was executed."""
    from tasks.run import service_command

    command = service_command(rig.run().pipeline, {})
    environment = {**os.environ, "ROBOFLOW_API_KEY": "k" * 32, "REELROUTE_HOME": str(rig.folder / "home")}
    with subprocess.Popen(
        command, cwd=hostile, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as service:
        assert service.stdout is not None
        line = service.stdout.readline()
        service.communicate()  # its stdin is closed: it ends

    assert json.loads(line)["url"].startswith("http://127.0.0.1:")
    assert not (hostile / "executed").exists()


async def test_the_run_of_a_batch_starts(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As the event service starts it: it gets as far as asking a Prefect server that is not there."""
    monkeypatch.chdir(hostile)
    monkeypatch.setenv("PREFECT_HOME", str(hostile / "prefect"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    starter = ProcessStarter()
    batch = Batch("0" * 32, "no-such-pipeline", BatchState.FORMED, 1, "", "", NOON)
    await starter.start("no-such-pipeline", batch)
    assert starter._process is not None
    code = await starter._process.wait()

    assert (3, False) == (code, (hostile / "executed").exists())
    assert "was imported" not in capfd.readouterr().err


def test_every_python_that_we_start_leaves_the_current_folder_alone() -> None:
    """`-m` puts the current folder first; `-P` does not."""
    started = []
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            started += re.findall(r"sys\.executable,\s*\"(-?\w+)\"", file.read_text(encoding="utf-8"))

    assert len(started) >= 4
    assert {"-P"} == set(started)
