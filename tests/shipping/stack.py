"""The compose file's services as plain processes: the same commands, the same environment, on loopback.

What a container would give is given here by other means: names of hosts become ports of loopback,
paths of volumes become folders, and PostgreSQL is the tests' own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.postgres import PASSWORD, PostgresServer, free_port
from tests.shipping.files import COMPOSE, DEPLOYMENTS, ROOT, compose, environment, filled_in

SECRETS = {
    "POSTGRES_PASSWORD": PASSWORD,
    "PREFECT_AUTH_STRING": "admin:5ec7e7-MARKED-login",
    "ROBOFLOW_API_KEY": "5ec7e7-MARKED-inference",
    "REELROUTE_EVENTS_KEY": "5ec7e7-MARKED-events",
    "REELROUTE_METRICS_KEY": "5ec7e7-MARKED-metrics",
}
# Each takes seconds on a machine of its own.
PATIENCE_S = 300.0
_PORTS = {"server": "4200", "inference": "9001", "events": "9002", "worker": "8080"}


@dataclass
class Stack:
    """The services that run.

    Attributes:
        folder: Everything is below it; a log per service too.
        ports: Service -> its port on 127.0.0.1.
    """

    folder: Path
    postgres: PostgresServer
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in _PORTS})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        services: dict[str, dict[str, Any]] = compose()["services"]
        return services

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def here(self, name: str, text: str) -> str:
        """What a value of the compose file is on this machine."""
        text = filled_in(text, SECRETS).replace("0.0.0.0", "127.0.0.1")
        text = text.replace("@postgres:5432/", f"@127.0.0.1:{self.postgres.port}/")
        for other, port in _PORTS.items():
            text = text.replace(f"//{other}:{port}", f"//127.0.0.1:{self.ports[other]}")
        if name in _PORTS:
            text = re.sub(rf"(?<!\d){_PORTS[name]}(?!\d)", str(self.ports[name]), text)
        return text.replace("/var/lib/reelroute", str(self.folder / "state" / name))

    def environment(self, name: str) -> dict[str, str]:
        """What the container has: of the image, of the env files, of the compose file; nothing of this machine's."""
        service = self.services[name]
        given = image_environment()
        for file in service.get("env_file", ()):
            if isinstance(file, str):  # one that may be absent is
                given |= SECRETS if file == ".env" else environment(COMPOSE.parent / file)
        given |= service.get("environment", {})
        theirs = {variable: self.here(name, value) for variable, value in given.items()}
        (self.folder / "state" / name).mkdir(parents=True, exist_ok=True)
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        return {**theirs, "PATH": path, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)}

    def start(self, name: str) -> None:
        command = [self.here(name, word) for word in self.services[name]["command"]]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=self.folder / "srv", env=self.environment(name), stdout=log, stderr=log, process_group=0
            )

    def is_healthy(self, name: str) -> bool:
        """What the image's own health check says, or for `deploy` whether it ended well."""
        process = self.processes[name]
        if name == "deploy":
            assert process.poll() in (None, 0), self.log(name)
            return process.poll() == 0
        assert process.poll() is None, f"{name} ended:\n{self.log(name)[-4000:]}"
        checked = subprocess.run(health_check(), env=self.environment(name), capture_output=True, timeout=60)
        return checked.returncode == 0

    def wait_for(self, name: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not self.is_healthy(name):
            assert time.monotonic() < until, f"{name} was never healthy:\n{self.log(name)[-4000:]}"
            time.sleep(0.5)

    def up(self) -> None:
        """Start everything, each when what it depends on is there."""
        names = [name for name in self.services if name != "postgres"]
        while names:
            name = next(one for one in names if not set(self.services[one].get("depends_on", ())) & set(names))
            names.remove(name)
            self.start(name)
            self.wait_for(name)

    def down(self) -> dict[str, int]:
        """Stop everything as containers are stopped; service -> exit code of those that were still there.

        What depends on others goes before them, as compose does it: a worker whose server is away waits for it.
        """
        running = {name: process for name, process in self.processes.items() if process.poll() is None}
        ended = {}
        for name, process in reversed(running.items()):
            process.send_signal(signal.SIGTERM)
            try:
                ended[name] = process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                ended[name] = process.wait(60)
        return ended


def image_environment() -> dict[str, str]:
    """The variables of the Dockerfile's last stage, but for PATH."""
    text = (DEPLOYMENTS / "docker" / "Dockerfile").read_text()
    (block,) = re.findall(r"(?m)^ENV ((?:.*\\\n)*.*)$", text)
    words = shlex.split(block.replace("\\\n", " "))
    return {name: value for name, value in (word.split("=", 1) for word in words) if name != "PATH"}


def health_check() -> list[str]:
    """The command of the Dockerfile's health check."""
    text = (DEPLOYMENTS / "docker" / "Dockerfile").read_text()
    (command,) = re.findall(r"HEALTHCHECK .*\\\n\s+CMD (\[.*\])", text)
    words: list[str] = json.loads(command)
    return [sys.executable, *words[1:]]


@contextmanager
def running_stack(folder: Path, postgres: PostgresServer) -> Iterator[Stack]:
    """All of the compose file, healthy; stopped in the end. The footage is `folder/videos`."""
    pipelines = folder / "srv" / "config" / "pipelines"
    pipelines.mkdir(parents=True)
    for file in (COMPOSE.parent / "pipelines").glob("*.yaml"):
        text = file.read_text().replace("/videos", str(folder / "videos"))
        (pipelines / file.name).write_text(text.replace("/var/lib/reelroute", str(folder / "state" / "worker")))
    postgres.sql("CREATE DATABASE prefect")
    postgres.sql(
        "\n".join(line for line in (COMPOSE.parent / "databases.sql").read_text().splitlines() if "--" not in line)
    )
    stack = Stack(folder, postgres)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        for process in stack.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        for name in ("prefect", "reelroute"):
            postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")
