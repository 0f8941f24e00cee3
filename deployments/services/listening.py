"""What every service of ours does: take a port, say when it answers, stop cleanly however it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator

import uvicorn

from tasks.domain.errors import InputInvalid


class Server(uvicorn.Server):
    """Uvicorn that says when it answers, and that returns after a signal instead of dying of it."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        await asyncio.to_thread(self._on_ready)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Have signals end the block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 takes a free one.

    Raises:
        InputInvalid: It is taken, or the address is not this machine's.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise InputInvalid(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="is another service using the port?"
        ) from None


def url_of(host: str, listener: socket.socket) -> str:
    """Where a listener can be reached from this machine."""
    port = listener.getsockname()[1]
    reachable = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (read, not bound)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def stop_at_end_of_stdin(server: uvicorn.Server) -> None:
    """Stop when stdin ends, which it does when the parent dies in any way; blocks until then."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
