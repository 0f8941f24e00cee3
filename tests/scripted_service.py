"""A stand-in for a video inference service, which misbehaves on request.

Speaks the hosted API (calls A to E and the control plane) over real sockets on loopback, in a
thread of its own, so any client can be pointed at it: ours, the official SDK, a subprocess. Faults
are scripted per call and used up in order; after them the service is well again. What it was
asked, and which jobs it really created, is kept for the test to look at.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

KEY = "key-MARKED-SECRET-key"
MARK = "MARKED-SECRET"  # part of every secret that the stand-in or its tests hand out
SIGNATURE = f"X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Expires=3600&X-Goog-Signature={MARK}%2Fab"
# Of a second of video at 25 frames/s, five of which are looked at: one in vain.
RESULTS = {
    "frame_offset": [0, 5, 10, 15, 20],
    "time_offset": [0.0, 0.2, 0.4, 0.6, 0.8],
    "players-x1": [{"predictions": []}, None, *[{"predictions": []}] * 3],
}
PROJECT = {
    "type": "object-detection", "name": "Players", "created": 1.7e9, "updated": 1.7e9,
    "images": 1, "unannotated": 0, "annotation": "x", "public": False, "splits": {}, "colors": {},
    "classes": {"player": 10, "ball": 3},
}  # fmt: skip
VERSION = {"augmentation": {}, "created": 1.7e9, "images": 1, "preprocessing": {}, "splits": {}, "model": {"map": "1"}}


@dataclass(frozen=True)
class Fault:
    """One misbehaviour.

    Attributes:
        status, headers, body: The answer to give.
        acts: Do the work all the same (create the job, take the file), then misbehave.
        drop: Where to reset the connection: "unread" before reading anything, "read" after the
            request, "midway" after the headers and half of the body; "" not at all.
        echoes: Say in the body what was asked, key and URLs and all, as careless servers do.
        hang: Never answer; with ``drop="midway"``, never go on after the first half.
        then: Is called (in the service's thread) before it answers or, when it is about to hang, instead of going on.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | dict[str, Any] = b""
    acts: bool = False
    echoes: bool = False
    drop: str = ""
    hang: bool = False
    then: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    call: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    sha256: str

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ScriptedService:
    """The service; use it as a context manager.

    Attributes:
        base_url: Where it listens, with the prefix.
        jobs: job id -> the request that created it.
        asked: Every request that was read, in order.
        results: Body of every result.
        polls: How often a job says "running" before it is done.
        projects: Slug -> what the control plane says of it.
        trainings: What the control plane lists for every version that names no model itself;
            None: it knows no such question.
        connections: How many were opened.
        weather: Says how to misbehave in a call (named as for `script`) that nothing is scripted for, if at all.
        verdicts: job id -> what it says of the job instead of "done".
        bodies: job id -> what it gives instead of ``results``.
        answers_after: Seconds from the creation of a job to the answer that names it.
        most_open: How many jobs were open at once, at most: created, and not told to be done.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[Asked] = []
        self.results: bytes = json.dumps(RESULTS).encode()
        self.polls = 0
        self.projects: dict[str, dict[str, Any]] = {"players-x1": {"project": PROJECT, "versions": [1, 2]}}
        self.trainings: list[dict[str, Any]] | None = []
        self.connections = 0
        self.weather: Callable[[str], Fault | None] = lambda _: None
        self.verdicts: dict[str, dict[str, Any]] = {}
        self.bodies: dict[str, bytes] = {}
        self.answers_after = 0.0
        self.most_open = 0
        self._open_jobs: set[str] = set()
        self._script: dict[str, deque[Fault | None]] = defaultdict(deque)
        self._polled: dict[str, int] = defaultdict(int)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._created = threading.Event()
        self._open: set[asyncio.Task[None]] = set()

    def script(self, call: str, *faults: Fault | None) -> None:
        """Misbehave in the next requests of ``call``; None is to behave once.

        Calls are connection, upload_url, upload, submit, check, result and control.
        """
        self._script[call].extend(faults)

    def calls(self, call: str) -> list[Asked]:
        """The requests of one kind that were read."""
        return [asked for asked in self.asked if asked.call == call]

    def forget(self) -> None:
        """Be as new: no jobs, nothing asked, nothing scripted."""
        self.jobs.clear()
        self.asked.clear()
        self._polled.clear()
        self._script.clear()

    def wait_for_job(self) -> None:
        """Return when the first job has been created."""
        assert self._created.wait(10)

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self._server = start.result(10)
        self.origin = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.base_url = self.origin + self.prefix
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            if self._script["connection"]:
                self._script["connection"].popleft()
                _reset(writer)
                return
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read one request and answer it; False when the connection is done with."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body, digest, left = b"", hashlib.sha256(), int(headers.get("content-length", "0"))
        call = self._call(method, target)
        fault = self._script[call].popleft() if self._script[call] else self.weather(call)
        if fault and fault.drop == "unread":
            _reset(writer)
            return False
        while left:
            chunk = await reader.read(min(left, 1 << 16))
            if not chunk:
                raise asyncio.IncompleteReadError(body, left)
            left -= len(chunk)
            digest.update(chunk)
            body = (body + chunk)[: 1 << 16]
        asked = Asked(call, method, target, headers, body, digest.hexdigest())
        self.asked.append(asked)
        if fault is None:
            answer = Fault(*self._work(asked))
            await asyncio.sleep(self.answers_after if call == "submit" else 0)
            return await self._send(writer, answer)
        if fault.acts:
            self._work(asked)
        if fault.echoes:
            said = f"cannot do {asked.method} {self.origin}{asked.target} with {asked.body.decode(errors='replace')}"
            fault = replace(fault, body={"error": {"message": said}, "hint": said})
        return await self._send(writer, fault)

    async def _send(self, writer: asyncio.StreamWriter, answer: Fault) -> bool:
        if answer.hang and not answer.drop:
            await self._hang(answer)
        if not answer.hang:
            answer.then()
        if answer.drop == "read":
            _reset(writer)
            return False
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        headers = {"Content-Length": str(len(body)), **dict(answer.headers)}
        lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in headers.items() if value)]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        writer.write(body[: len(body) // 2] if answer.drop == "midway" else body)
        await writer.drain()
        if answer.drop == "midway":
            if answer.hang:
                await self._hang(answer)
            writer.close()
            return False
        return bool(headers["Content-Length"])  # without a length, closing is the end of the body

    async def _hang(self, fault: Fault) -> None:
        fault.then()
        await asyncio.sleep(3600)

    def _call(self, method: str, target: str) -> str:
        path = urlsplit(target).path.removeprefix(self.prefix)
        names = {
            ("POST", "/videoinfer/"): "submit",
            ("GET", "/videoinfer/"): "check",
            ("POST", "/video_upload_signed_url"): "upload_url",
            ("POST", "/video_upload_signed_url/"): "upload_url",
        }
        if path.startswith("/bucket/"):
            return "upload" if method == "PUT" else "result"
        return names.get((method, path), "control")

    def _work(self, asked: Asked) -> tuple[int, tuple[tuple[str, str], ...], bytes | dict[str, Any]]:
        """Do what a well service does."""
        if asked.call in ("upload", "result"):
            assert "api_key" not in asked.target
            job_id = urlsplit(asked.target).path.rpartition("/")[2].removesuffix(".json")
            return 200, (), b"" if asked.call == "upload" else self.bodies.get(job_id, self.results)
        if asked.query.get("api_key") != KEY:
            return 401, (), {"error": {"message": f"key {asked.query.get('api_key')} is not known", "status": 401}}
        if asked.call == "submit":
            job_id = f"job-{len(self.jobs) + 1}"
            self.jobs[job_id] = asked.json
            self._open_jobs.add(job_id)
            self.most_open = max(self.most_open, len(self._open_jobs))
            self._created.set()
            return 200, (), {"job_id": job_id, "message": "This endpoint will create videojob"}
        if asked.call == "check":
            return self._check(asked.query["job_id"])
        if asked.call == "upload_url":
            return 200, (), {"signed_url": f"{self.origin}/bucket/in/{asked.json['file_name']}?{SIGNATURE}"}
        return self._control(unquote(urlsplit(asked.target).path.removeprefix(self.prefix)))

    def _check(self, job_id: str) -> tuple[int, tuple[tuple[str, str], ...], dict[str, Any]]:
        if job_id not in self.jobs:
            return 404, (), {"error": "job not found"}
        self._polled[job_id] += 1
        if self._polled[job_id] <= self.polls:
            return 200, (), {"status": 1}
        self._open_jobs.discard(job_id)
        if job_id in self.verdicts:
            return 200, (), self.verdicts[job_id]
        return 200, (), {"status": 0, "output_signed_url": f"{self.origin}/bucket/out/{job_id}.json?{SIGNATURE}"}

    def _control(self, path: str) -> tuple[int, tuple[tuple[str, str], ...], dict[str, Any]]:
        """What the SDK asks for: the key's workspace, a project with its versions, a version's trainings."""
        parts = path.strip("/").split("/") if path.strip("/") else []
        if not parts:
            return 200, (), {"workspace": "acme"}
        known = self.projects.get(parts[1]) if len(parts) > 1 else None
        if known is None:
            return 404, (), {"error": {"message": "Unsupported request. No such project"}}
        if len(parts) > 2:
            if self.trainings is None:
                return 404, (), {"error": {"message": "no such endpoint"}}
            return 200, (), {"trainings": self.trainings, "models": [{"modelId": "acme/m"}] if self.trainings else []}
        numbers = known["versions"]
        versions = [v if isinstance(v, dict) else {**VERSION, "id": f"acme/{parts[1]}/{v}"} for v in numbers]
        return 200, (), {"project": {**known["project"], "id": f"acme/{parts[1]}"}, "versions": versions}


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset, as a crashing server does."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
