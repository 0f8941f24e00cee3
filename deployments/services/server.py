"""Run a service: take the port, start answering, stop cleanly however we are told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator

import uvicorn
from fastapi import FastAPI

from deployments.services.connections import BoundedProtocol, most_connections, raise_file_limit
from tasks.domain.errors import InputInvalid

# Open downloads get this long when we stop; whoever is cut off asks again.
_GRACE_S = 5


def serve(
    make_app: Callable[[], FastAPI],
    host: str,
    port: int,
    *,
    on_ready: Callable[[str], None],
    exit_with_parent: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT, then return.

    Args:
        make_app: Builds the application, once the port is ours.
        host, port: Where to listen; port 0 takes a free one.
        on_ready: Called with the base URL (loopback where we listen everywhere) once it answers;
            runs in a thread of its own.
        exit_with_parent: Also stop when stdin ends, which it does when the parent dies in any way.

    Raises:
        InputInvalid: The port cannot be used.
    """
    raise_file_limit()
    listener = _listen(host, port)
    with contextlib.closing(listener):
        config = uvicorn.Config(
            make_app(),
            access_log=False,  # it would show query strings: keys and signatures
            log_config=None,
            loop="asyncio",
            http=BoundedProtocol,
            ws="none",
            backlog=most_connections(),  # so many are accepted before any is looked at
            timeout_graceful_shutdown=_GRACE_S,
        )
        server = _Server(config, lambda: on_ready(_url_of(host, listener)))
        if exit_with_parent:
            threading.Thread(target=_stop_at_end_of_stdin, args=(server,), daemon=True).start()
        asyncio.run(server.serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """Uvicorn that says when it answers, and that returns after a signal instead of dying of it."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await asyncio.to_thread(self._on_ready)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise InputInvalid(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="is another service using the port?"
        ) from None


def _url_of(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    reachable = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (read, not bound)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _stop_at_end_of_stdin(server: uvicorn.Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = True
