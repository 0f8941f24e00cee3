"""A service's HTTP side in a thread of this process, for tests that speak to it over real sockets."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from fastapi import FastAPI

from deployments.services import server


@contextmanager
def listening(app: FastAPI) -> Iterator[tuple[str, int]]:
    """Serve the application for the length of the block; yields where."""
    told: queue.Queue[str] = queue.Queue()
    stopping: list[server._Server] = []

    class Remembered(server._Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            stopping.append(self)
            await super().startup(sockets)

    make, server._Server = server._Server, Remembered  # type: ignore[misc]
    thread = threading.Thread(target=server.serve, args=(lambda: app, "127.0.0.1", 0), kwargs={"on_ready": told.put})
    try:
        thread.start()
        where = urlsplit(told.get(timeout=60))
        assert where.hostname is not None
        assert where.port is not None
        yield where.hostname, where.port
    finally:
        server._Server = make  # type: ignore[misc]
        stopping[0].should_exit = True
        thread.join(timeout=60)
    assert not thread.is_alive()
