"""A reverse proxy on loopback in front of an emulator: counts requests, and breaks some on purpose.

What a subclass lets through, changes or answers itself is decided in ``answer``.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar
from urllib.parse import parse_qsl, unquote

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "content-length"})


@dataclass(frozen=True)
class Request:
    """One request as it came: ``path`` and ``query`` still percent-encoded, header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def name(self) -> str:
        """The path as people write it."""
        return unquote(self.path)

    @property
    def arguments(self) -> dict[str, str]:
        """The query's parameters, decoded."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """What is sent back. ``length`` is the Content-Length of a HEAD's answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass(frozen=True)
class Fault:
    """What to do to a request instead of serving it well; without any of these, the connection is reset at once.

    Attributes:
        answer: Send this in place of the emulator's own.
        cut_after: Serve, promise the whole body, send this many bytes and reset the connection.
        at_most: Serve, but send this many bytes as if they were all.
        lose_answer: Let the emulator do it, then reset the connection without a word.
    """

    answer: Answer | None = None
    cut_after: int | None = None
    at_most: int | None = None
    lose_answer: bool = False


class Proxy:
    """Passes requests on to an emulator.

    Attributes:
        fault: Asked before each request; what it returns happens instead.
        seen: ``METHOD /path`` of each request, decoded, without its query.
        keep_host: Whether the emulator sees the Host header as it came, where it checks signatures itself.
    """

    keep_host = True

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._connections = threading.local()
        self.port = 0
        self.fault: Callable[[Request], Fault | None] = lambda request: None
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Forget faults and what was seen."""
        self.fault = lambda request: None
        self.seen.clear()

    def answer(self, request: Request) -> Answer:
        """Answer one request; this class passes every one on."""
        return self.forward(request)

    def forward(self, request: Request) -> Answer:
        """Let the emulator answer."""
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        headers["host"] = request.headers["host"] if self.keep_host else f"127.0.0.1:{self._upstream_port}"
        target = f"{request.path}?{request.query}" if request.query else request.path
        connection = self._connection()
        try:
            connection.request(request.method, target, request.body or None, headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        length = response.getheader("Content-Length") if request.method == "HEAD" else None
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
        return Answer(response.status, body, kept, None if length is None else int(length))

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._connections, "value"):
            self._connections.value = http.client.HTTPConnection("127.0.0.1", self._upstream_port, timeout=60)
        connection: http.client.HTTPConnection = self._connections.value
        return connection


ProxyT = TypeVar("ProxyT", bound=Proxy)
_METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: Proxy

    def serve(self) -> None:
        """Serve whatever was asked for, by whichever method."""
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, query, headers, body)
        self.proxy.seen.append(f"{request.method} {request.name}")
        fault = self.proxy.fault(request)
        if fault is None:
            self._send(self.proxy.answer(request))
        elif fault.answer is not None:
            self._send(fault.answer)
        elif fault.cut_after is not None:
            self._send(self.proxy.answer(request), cut_after=fault.cut_after)
        elif fault.at_most is not None:
            whole = self.proxy.answer(request)
            self._send(Answer(whole.status, whole.body[: fault.at_most], whole.headers))
        else:
            if fault.lose_answer:
                self.proxy.answer(request)
            self._reset()

    def _send(self, answer: Answer, cut_after: int | None = None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body if cut_after is None else answer.body[:cut_after])
        if cut_after is not None:
            self._reset()

    def _reset(self) -> None:
        """End the connection as a crash would, not as a server that has said all."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_args: object) -> None:
        """Say nothing on stderr."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in mid-answer is nobody's error."""

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close without a polite FIN first, which would hide a reset."""
        self.close_request(request)


@contextmanager
def serve(proxy: ProxyT) -> Iterator[ProxyT]:
    """Listen on an ephemeral loopback port for the length of the block."""
    methods = {f"do_{method}": _Handler.serve for method in _METHODS}
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy, **methods}))
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
