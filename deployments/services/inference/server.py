"""Run the service: take the port, start answering, stop cleanly however we are told to."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

import uvicorn

from deployments.services.inference.app import create_app
from deployments.services.inference.settings import ServiceSettings
from deployments.services.listening import Server, listen, stop_at_end_of_stdin, url_of

# Open downloads get this long when we stop; whoever is cut off asks again.
_GRACE_S = 5


def serve(settings: ServiceSettings, *, on_ready: Callable[[str], None], exit_with_parent: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then return; jobs under way are run again by the next start.

    Args:
        on_ready: Called with the base URL (loopback where we listen everywhere) once it answers;
            runs in a thread of its own.
        exit_with_parent: Also stop when stdin ends, which it does when the parent dies in any way.

    Raises:
        ModelInvalid: A model file or name is bad.
        InputInvalid: The port or the state folder cannot be used.
    """
    listener = listen(settings.host, settings.port)
    with contextlib.closing(listener):
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            access_log=False,  # it would show query strings: keys and signatures
            log_config=None,
            loop="asyncio",
            timeout_graceful_shutdown=_GRACE_S,
        )
        server = Server(config, lambda: on_ready(url_of(settings.host, listener)))
        if exit_with_parent:
            threading.Thread(target=stop_at_end_of_stdin, args=(server,), daemon=True).start()
        asyncio.run(server.serve(sockets=[listener]))
