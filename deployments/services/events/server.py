"""Run the service: take the port, start answering, stop cleanly however we are told to."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

import uvicorn

from config.event_settings import EventSettings
from config.settings import Settings
from deployments.services.events.app import create_app
from deployments.services.events.fetching import Fetch, fetch
from deployments.services.events.service import build_service
from deployments.services.listening import Server, is_loopback, listen, stop_at_end_of_stdin, url_of
from tasks.domain.errors import InputInvalid

_GRACE_S = 5


def serve(
    settings: Settings,
    events: EventSettings,
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    exit_with_parent: bool = False,
    load: Fetch = fetch,
) -> None:
    """Serve until SIGTERM or SIGINT, then return; what is in the inbox waits for the next start.

    Args:
        on_ready: Called with the base URL once it answers; runs in a thread of its own.
        exit_with_parent: Also stop when stdin ends, which it does when the parent dies in any way.
        load: Fetches certificates.

    Raises:
        InputInvalid: A pipeline file, a setting or the port cannot be used.
        LedgerUnusable: The ledger cannot be opened.
    """
    if not is_loopback(host) and not events.believes_somebody:
        raise InputInvalid(
            f"nobody could be believed on {host}: no sender is set up",
            hint="set REELROUTE_EVENTS_KEY, _SNS_TOPICS, or the audience of a sender's tokens",
        )
    service = build_service(settings, events, watched_by_others=not is_loopback(host), load=load)
    try:
        listener = listen(host, port)
    except InputInvalid:
        service.ledger.close()
        raise
    with contextlib.closing(listener):
        config = uvicorn.Config(
            create_app(service),
            access_log=False,  # it would show query strings: keys
            log_config=None,
            loop="asyncio",
            timeout_graceful_shutdown=_GRACE_S,
        )
        server = Server(config, lambda: on_ready(url_of(host, listener)))
        if exit_with_parent:
            threading.Thread(target=stop_at_end_of_stdin, args=(server,), daemon=True).start()
        asyncio.run(server.serve(sockets=[listener]))
