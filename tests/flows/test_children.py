"""What the processes that a run starts are given: read from the system while a real run has them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest

from tests.flows.conftest import Yard

pytestmark = pytest.mark.engine

MARK = "MARKED-5ecret"
SECRETS = {
    name: f"{MARK}-{name.lower()}"
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_CONNECTION_STRING",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "LABELBOX_API_KEY",
        "LIGHTLY_TOKEN",
        "ROBOFLOW_API_KEY",
        "REELROUTE_EVENTS_KEY",
        "REELROUTE_METRICS_KEY",
        "DATABASE_URL",
        "PGPASSWORD",
        "SOMETHING_OF_TOMORROW",
    )
}
CHILDREN = {
    "prefect.server.api.server": "Prefect's server",
    "deployments.cli serve inference": "the inference service",
    "deployments.services.inference.worker": "the decoder",
    "tasks.inference.roboflow_sdk": "the SDK",
}


def look(run: psutil.Process, seen: dict[str, str]) -> None:
    """Note command and environment of every program that the run has started."""
    own = run.cmdline()
    for child in run.children(recursive=True):
        try:
            command = child.cmdline()
            # In this order: once the command is its own, so is the environment.
            environment = Path(f"/proc/{child.pid}/environ").read_bytes().decode(errors="replace")
        except (psutil.Error, OSError):
            continue
        if command and command != own:
            seen[" ".join(command)] = environment


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="environments are read from /proc")
def test_no_child_of_a_run_holds_a_secret_that_is_not_its_own(lone_yard: Yard) -> None:
    """No cloud's login, no Labelbox key and no ledger's address, neither in environments nor in arguments."""
    lone_yard.clip("a.mp4")
    lone_yard.environment |= {**SECRETS, "REELROUTE_LEDGER_URL": f"sqlite:///{lone_yard.folder}/{MARK}.db"}
    seen: dict[str, str] = {}
    with (lone_yard.folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            lone_yard.command("run", lone_yard.pipeline(), "--json"),
            cwd=lone_yard.folder,
            env=lone_yard.env(),
            stdout=errors,
            stderr=errors,
        )
        try:
            run = psutil.Process(process.pid)
            while process.poll() is None:
                try:
                    look(run, seen)
                except psutil.NoSuchProcess:
                    break
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
            process.wait()

    assert 0 == process.returncode, (lone_yard.folder / "stderr").read_text()
    assert set(CHILDREN.values()) == {name for part, name in CHILDREN.items() if any(part in one for one in seen)}
    for command, environment in seen.items():
        assert MARK not in environment, command
        assert MARK not in command
        assert "PATH=" in environment
