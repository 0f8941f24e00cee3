"""A loopback HTTP server that serves one blob, with ranges, and misbehaves on request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Fault:
    """What to do instead of answering properly.

    Attributes:
        status: Answer with this status and no useful body, if set.
        cut_after: Send this many bytes of the promised body and close, if set.
        at_most: Answer with this many bytes of the range and say so, if set.
        headers: Extra headers of the answer.
    """

    status: int | None = None
    cut_after: int | None = None
    at_most: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class RangeServer:
    """The blob, how it is served, and what was asked for.

    Attributes:
        body: What is served at every path.
        url: Address, with a query that stands for a signature and must never be shown.
        ranges: False answers every request with 200 and the whole body.
        fault: (number of the request from 0, start of its range) -> fault or None.
        requests: The Range header of each request, in order.
        paths: Path and query of each request, exactly as received.
    """

    body: bytes
    url: str = ""
    etag: str = '"one"'
    ranges: bool = True
    fault: Callable[[int, int], Fault | None] = lambda _number, _start: None
    requests: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    blob: RangeServer

    def do_GET(self) -> None:
        blob = self.blob
        asked = self.headers.get("Range", "")
        number = len(blob.requests)
        blob.requests.append(asked)
        blob.paths.append(self.requestline.split(" ")[1])
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked) if blob.ranges else None
        start = int(match[1]) if match else 0
        fault = blob.fault(number, start) or Fault()
        if fault.status is not None:
            self._send(fault.status, b"<Error>no</Error>", fault)
        elif match is None:
            self._send(200, blob.body, fault)
        elif start >= len(blob.body):
            fault.headers.setdefault("Content-Range", f"bytes */{len(blob.body)}")
            self._send(416, b"", fault)
        else:
            piece = blob.body[start : int(match[2]) + 1][: fault.at_most]
            fault.headers.setdefault("Content-Range", f"bytes {start}-{start + len(piece) - 1}/{len(blob.body)}")
            self._send(206, piece, fault)

    def _send(self, status: int, body: bytes, fault: Fault) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.blob.etag)
        self.send_header("Connection", "close")
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):  # the client has seen enough
            self.wfile.write(body if fault.cut_after is None else body[: fault.cut_after])

    def log_message(self, *_args: object) -> None:
        """Say nothing on stderr."""


@contextmanager
def serve(body: bytes) -> Iterator[RangeServer]:
    """Serve ``body`` on an ephemeral loopback port for the length of the block."""
    blob = RangeServer(body)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"blob": blob}))
    server.daemon_threads = True
    blob.url = f"http://127.0.0.1:{server.server_address[1]}/bucket/film.mp4?X-Signature=s3cret"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield blob
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
