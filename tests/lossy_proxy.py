"""A TCP relay to a PostgreSQL server that loses a connection at the worst moment.

For tests of what happens when COMMIT was sent and no answer came: real sockets, a real server,
and a cut at exactly that message.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

COMMIT = b"COMMIT\0"


class LossyProxy:
    """Relays to a port on loopback; use it as a context manager.

    Attributes:
        port: Where it listens.
        losing: "request": the next COMMIT never reaches the server; "answer": the server makes
            it, and its answer never reaches the client; "": nothing is lost.
        lost: How many connections were cut.
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.losing = ""
        self.lost = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            cut(one)
        for thread in self._threads:
            thread.join(10)

    def _start(self, step: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=step, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._upstream))
                self._open += [client, server]
                self._start(self._to_server, client, server)
                self._start(self._to_client, server, client)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if COMMIT in data and self.losing == "request":
                    self._lose(client, server)
                    return
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if self.losing == "answer" and data.startswith(b"C\0\0\0\x0bCOMMIT\0"):
                    self._lose(client, server)
                    return
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)

    def _lose(self, client: socket.socket, server: socket.socket) -> None:
        self.losing = ""
        self.lost += 1
        cut(client)
        cut(server)


def cut(one: socket.socket) -> None:
    """Close with a reset, as a machine that went away looks like."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
    one.close()
