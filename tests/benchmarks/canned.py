"""A web server of its own process that answers at once and knows nothing, so that clients' CPU is what is measured.

Run as ``python -m tests.benchmarks.canned PORT MODULE``; the module's ``answer(method, target)`` gives the
status, headers and body.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.emulators import process

Answer = Callable[[str, str], tuple[int, str, bytes]]
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class _Connection(asyncio.Protocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._pending = b""
        self._continued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head = self._pending[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + int(length[1] if length else 0)
            if len(self._pending) < whole:
                if b"100-continue" in head and not self._continued:
                    self._continued = True
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self._pending, self._continued = self._pending[whole:], False
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            status, headers, body = self._answer(method, target)
            answered = f"HTTP/1.1 {status} OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
            self._transport.write(answered + body)


async def _serve(port: int, answer: Answer) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(answer), "127.0.0.1", port)
    await server.serve_forever()


@contextmanager
def serving(module: str) -> Iterator[str]:
    """Answer as a module says, for the length of the block; gives the server's address."""
    port = process.free_port()
    with process.started([sys.executable, "-m", __name__, str(port), module], port=port):
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), importlib.import_module(sys.argv[2]).answer))
