"""A Prefect server with a login, and process workers: real processes, each stopped by its own id.

What runs in them is set up as a user would: a folder with ``config/pipelines`` and a ``.env``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

import httpx
import psutil
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from deployments.cli.prefect_setup import server_settings
from tests.postgres import free_port

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
LOGIN = "reelroute:MARKED-SECRET-login"
START_S = 240.0


@dataclass
class Orchestra:
    """The server and its workers.

    Attributes:
        folder: Server and logs; the user's folder is in it.
        database: URL of the server's database; "" for a SQLite file.
        port: Where it listens, the same after a restart.
    """

    folder: Path
    database: str = ""
    port: int = field(default_factory=free_port)
    server: subprocess.Popen[Any] | None = None
    workers: dict[str, subprocess.Popen[Any]] = field(default_factory=dict)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def user(self) -> Path:
        """Where ``reelroute deploy`` is called, and runs look for pipelines."""
        return self.folder / "user"

    def environment(self, **more: str) -> dict[str, str]:
        """What processes of the user get."""
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("ROBOFLOW", "REELROUTE", "PREFECT"))}
        return clean | {
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_API_AUTH_STRING": LOGIN,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_CLIENT_MAX_RETRIES": "10",
            **more,
        }

    def start_server(self) -> None:
        """Start it and wait until it answers."""
        environment = self.environment(**server_settings())
        environment |= {
            "PREFECT_SERVER_API_AUTH_STRING": LOGIN,
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
            "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "2",
        }
        if self.database:
            environment["PREFECT_API_DATABASE_CONNECTION_URL"] = self.database
        command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        self.server = self._process("server", [sys.executable, "-m", *command], environment)
        self._wait(lambda: httpx.get(f"{self.api}/health", timeout=5).status_code == 200)

    def start_worker(self, name: str, *options: str, **environment: str) -> None:
        """Start a worker and wait until the server knows it."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "reelroute", "--name", name, *options]
        self.workers[name] = self._process(name, command, self.environment(**environment))
        self._wait(lambda: name in self._known_workers())

    def _process(self, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[Any]:
        with (self.folder / f"{name}.log").open("a") as log:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def _known_workers(self) -> list[str]:
        url = f"{self.api}/work_pools/reelroute/workers/filter"
        answer = httpx.post(url, json={}, auth=(LOGIN.split(":", maxsplit=1)[0], LOGIN.split(":")[1]), timeout=5)
        return [worker["name"] for worker in answer.json() if worker["status"] == "ONLINE"]

    def _wait(self, ready: Callable[[], bool]) -> None:
        until = monotonic() + START_S
        while True:
            try:
                if ready():
                    return
            except (httpx.HTTPError, json.JSONDecodeError, TypeError, KeyError):
                pass
            assert monotonic() < until, self.logs()
            sleep(0.3)

    def kill(self, name: str) -> None:
        """SIGKILL to a worker and every flow run of its; nobody is told."""
        worker = self.workers.pop(name)
        children = psutil.Process(worker.pid).children(recursive=True)
        worker.kill()
        for child in children:
            child.kill()
        worker.wait(60)

    def worker_of(self, run: FlowRun) -> str:
        """Name of the worker that a run's process belongs to; logs do not tell, as several may try for the same run."""

        def runs_it(process: psutil.Process) -> bool:
            with suppress(psutil.Error):
                return process.environ().get("PREFECT__FLOW_RUN_ID") == str(run.id)
            return False

        return next(
            name
            for name, worker in self.workers.items()
            if any(runs_it(child) for child in psutil.Process(worker.pid).children(recursive=True))
        )

    def stop_server(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, and what it started."""
        if self.server is not None:
            children = psutil.Process(self.server.pid).children(recursive=True)
            self.server.send_signal(how)
            for child in children if how is signal.SIGKILL else ():
                child.kill()
            self.server.wait(60)
            self.server = None

    def stop(self) -> None:
        """End everything that was started here."""
        for name in list(self.workers):
            self.kill(name)
        self.stop_server(signal.SIGKILL)

    def reelroute(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Call the command line in the user's folder."""
        command = [sys.executable, "-m", "deployments.cli", *arguments]
        return subprocess.run(
            command, cwd=self.user, env=self.environment(**environment), capture_output=True, text=True, timeout=280
        )

    async def ask(self, question: Callable[[PrefectClient], Awaitable[T]]) -> T:
        """Ask the server as a logged-in client."""
        with temporary_settings({PREFECT_API_URL: self.api, PREFECT_API_AUTH_STRING: LOGIN}):
            async with get_client() as client:
                return await question(client)

    async def start_run(self, deployment: str, **parameters: Any) -> FlowRun:
        """Create a run of a deployment with these parameters, as the form does."""

        async def create(client: PrefectClient) -> FlowRun:
            found = await client.read_deployment_by_name(deployment)
            return await client.create_flow_run_from_deployment(found.id, parameters=parameters)

        return await self.ask(create)

    async def ended(self, run: FlowRun, within_s: float = START_S) -> FlowRun:
        """The run when it has ended."""
        until = monotonic() + within_s
        while True:
            now = None
            # A server with too much to do answers 500 now and then; runs sit that out, and so do we.
            with suppress(httpx.HTTPError):
                now = await self.ask(lambda client: client.read_flow_run(run.id))
            if now is not None and now.state is not None and now.state.is_final():
                return now
            assert monotonic() < until, f"{now and now.state}\n{self.logs()}"
            await asyncio.sleep(0.5)

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.log"))
