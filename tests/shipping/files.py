"""The files of `deployments/`, read as their readers do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = ROOT / "deployments"
COMPOSE = DEPLOYMENTS / "docker" / "compose.yaml"
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?P<how>:[-?])?(?P<text>[^}]*)\}")


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def compose() -> dict[str, Any]:
    """The compose file, with its merges done."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return content


def manifests(*names: str) -> Iterator[dict[str, Any]]:
    """Every object of the Kubernetes manifests."""
    folder = DEPLOYMENTS / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    for name in names or listed:
        yield from yaml.safe_load_all((folder / name).read_text())


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, pod spec) of everything that runs in the cluster, the jobs of Prefect's Kubernetes worker included."""
    for manifest in manifests():
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]
    template = json.loads((DEPLOYMENTS / "kubernetes" / "base-job-template.json").read_text())
    yield "run", template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]


def environment(file: Path) -> dict[str, str]:
    """The variables of an env file, as compose and systemd read simple ones."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def variables(text: str) -> set[str]:
    """Names of the variables that compose fills in."""
    return {found["name"] for found in _VARIABLE.finditer(text)}


def filled_in(text: str, values: dict[str, str]) -> str:
    """What compose makes of a text with variables in it.

    Raises:
        ValueError: One that must be set is not.
    """

    def fill(found: re.Match[str]) -> str:
        value = values.get(found["name"], "")
        if found["how"] == ":?" and not value:
            raise ValueError(f"{found['name']}: {found['text']}")
        return value or (found["text"] if found["how"] == ":-" else "")

    return _VARIABLE.sub(fill, text)


def assert_known_command(command: Sequence[str]) -> None:
    """A command of ours that is shipped exists, with each of its options."""
    from typer.main import get_command

    from deployments.cli import app

    words = list(command)[1:]
    current: Any = get_command(app)
    while hasattr(current, "commands"):
        name = words.pop(0)
        assert name in current.commands, f"there is no command {name} in {' '.join(command)}"
        current = current.commands[name]
    current.make_context(current.name, words)
