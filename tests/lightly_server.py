"""LightlyOne's API on loopback, as strict as its schema: unknown keys, wrong types and wrong tokens are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "9f1e2d3c4b5a69788796a5b4c3d2e1f0"
DATASET = "65f0c0ffee65f0c0ffee0001"
_ID = r"[a-f0-9]{24}"


@dataclass
class LightlyServer:
    """What it is asked, and how it misbehaves.

    Attributes:
        url: Its address.
        configs: Worker configurations that it took, by id.
        scheduled: Orders of runs that it took, in order.
        requests: Method and path of each request, without its query.
        faults: Answers to the next requests, in order: a status with a body, or "cut" to take the
            request and close without an answer; None answers properly.
    """

    url: str = ""
    configs: dict[str, Any] = field(default_factory=dict)
    scheduled: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    faults: list[tuple[int, str] | str | None] = field(default_factory=list)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """What the API says to a request with the right token."""
        if method == "GET" and re.fullmatch(rf"/v1/datasets/{_ID}", path):
            known = path.endswith(DATASET)
            return (200, {"id": DATASET, "name": "yard videos"}) if known else (404, {"error": "no such dataset"})
        if (method, path) == ("POST", "/v1/docker/worker/config/vX"):
            return self._config(body)
        if method == "POST" and re.fullmatch(rf"/v1/datasets/{_ID}/docker/worker/schedule", path):
            return self._schedule(path.split("/")[3], body)
        return 404, {"error": f"cannot {method} {path}"}

    def _config(self, body: Any) -> tuple[int, Any]:
        if set(body) != {"version", "creator", "config"} or (body["version"], body["creator"]) != ("V4", "USER_PIP"):
            return 400, {"error": "not a V4 configuration"}
        config = body["config"]
        if set(config) != {"workerType", "docker", "selection"} or config["workerType"] != "FULL":
            return 400, {"error": "config has unknown keys"}
        selection = config["selection"]
        if set(selection) - {"nSamples", "proportionSamples", "strategies", "lightlyPathRegex", "autoTasks"}:
            return 400, {"error": "selection has unknown keys"}
        if not selection.get("strategies"):
            return 400, {"error": "strategies: at least one"}
        number = f"{len(self.configs) + 1:024x}"
        self.configs[number] = config
        return 201, {"id": number}

    def _schedule(self, dataset: str, body: Any) -> tuple[int, Any]:
        if dataset != DATASET:
            return 404, {"error": "no such dataset"}
        if set(body) != {"configId", "priority", "runsOn", "creator"} or body["creator"] != "USER_PIP":
            return 400, {"error": "unknown keys"}
        if body["configId"] not in self.configs or body["priority"] not in ("LOW", "MID", "HIGH", "CRITICAL"):
            return 400, {"error": "no such configuration or priority"}
        if not all(isinstance(label, str) for label in body["runsOn"]):
            return 400, {"error": "runsOn: expected text"}
        self.scheduled.append(body)
        return 201, {"id": f"{0xABC000 + len(self.scheduled):024x}"}


class _Handler(BaseHTTPRequestHandler):
    server_of: LightlyServer

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state = self.server_of
        state.requests.append(f"{self.command} {parts.path}")
        fault = state.faults.pop(0) if state.faults else None
        if fault == "cut":
            state.answer(self.command, parts.path, json.loads(data) if data else None)
            self.close_connection = True
            return
        if isinstance(fault, tuple):
            self._send(fault[0], fault[1].replace("{url}", f"{state.url}{self.path}").encode())
        elif parse_qs(parts.query) != {"token": [TOKEN]}:
            self._send(401, json.dumps({"error": "token", "url": self.path}).encode())
        else:
            status, said = state.answer(self.command, parts.path, json.loads(data) if data else None)
            self._send(status, json.dumps(said).encode())

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def lightly_server() -> Iterator[LightlyServer]:
    """Serve on a free port for the length of the block."""
    state = LightlyServer()
    handler = type("Handler", (_Handler,), {"server_of": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
