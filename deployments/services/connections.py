"""HTTP connections whose time and number are bounded, which uvicorn's own are not.

A request's head must be whole in a short time, its body must keep coming, and answers must be read.
When there are too many connections, those that have waited longest for the rest of a request make
room, of the peer that has the most of them: so half-sent requests shut nobody out.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

from uvicorn.protocols.http.h11_impl import H11Protocol

from deployments.services.seldom import Seldom

if TYPE_CHECKING:
    from uvicorn.server import Protocols

_log = logging.getLogger("reelroute.serve")

# From the connection, or the last answer, to the end of the next request's head.
HEAD_WITHIN_S = 10.0
# A body that brings less than this in each such time is given up; a video may take hours.
BODY_WINDOW_S = 30.0
LEAST_OF_BODY = 16 * 1024
# An answer of which nothing more is read for so long is given up.
READ_WITHIN_S = 60.0

_MOST_CONNECTIONS = 2048
_WANTED_FILES = 8192
_seldom = Seldom()


def raise_file_limit() -> None:
    """Let this process open as many files as it may, within reason: many systems begin with 1,024 or less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(_WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """How many connections may be open: a quarter of the files that we may open, so that answers find theirs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(_MOST_CONNECTIONS, soft // 4))


class BoundedProtocol(H11Protocol):
    """One connection.

    Attributes:
        waiting_since: Since when it waits for the rest of a request; None while it is answered.
    """

    waiting_since: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _reading_timer: asyncio.TimerHandle | None = None
    _received = 0

    @property
    def peer(self) -> str:
        """Who is at the other end: an IPv4 address, or the network of an IPv6 one."""
        return peer_of(self.client[0] if self.client else "")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, and make room if this is one too many."""
        super().connection_made(transport)
        self._wait(HEAD_WITHIN_S)
        most = most_connections()
        if len(self.connections) > most:
            make_room(self.connections, most)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes: a body must not stop coming."""
        self._received += len(data)
        super().data_received(data)

    def handle_events(self) -> None:
        """Follow how far the request is."""
        before = self.cycle
        super().handle_events()
        # Of two lengths a proxy in front may go by the other: what seems to come next may be part of this one.
        if self.cycle is not None and {b"content-length", b"transfer-encoding"} <= {name for name, _ in self.headers}:
            self.cycle.keep_alive = False
        if self.cycle is None or self.cycle.response_complete:
            return  # the time for the head goes on, whatever came
        if not self.cycle.more_body:
            self._stop_waiting()
        elif self.cycle is not before:
            self._wait(BODY_WINDOW_S)

    def on_response_complete(self) -> None:
        """Wait for the next request; what is left of a body that nobody wanted must come in that time, too."""
        self._wait(HEAD_WITHIN_S)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Give the peer some time to read its answer."""
        super().pause_writing()
        if self._reading_timer is None:
            self._reading_timer = self.loop.call_later(READ_WITHIN_S, self.give_up)

    def resume_writing(self) -> None:
        """It does read."""
        super().resume_writing()
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None

    def give_up(self) -> None:
        """Drop the connection; whoever reads the request's body is told that the client has left."""
        self._stop_waiting()
        self.connections.discard(self)  # at once: whoever counts them next must not count this one
        self.transport.abort()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._received = 0
        self.waiting_since = self.loop.time()
        self._timer = self.loop.call_later(seconds, self._end_of_wait)

    def _stop_waiting(self) -> None:
        self.waiting_since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_of_wait(self) -> None:
        is_body = self.cycle is not None and not self.cycle.response_complete
        if is_body and (self._received >= LEAST_OF_BODY or self.flow.read_paused):
            self._wait(BODY_WINDOW_S)
        elif not is_body and self.transport.get_write_buffer_size():
            self._timer = self.loop.call_later(READ_WITHIN_S, self.give_up)  # the last of an answer is still on its way
        else:
            self.give_up()


def peer_of(host: str) -> str:
    """What stands for one peer: its IPv4 address, or the /64 network of its IPv6 address; other text as it is."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
        address = address.ipv4_mapped
    return str(address)


def make_room(connections: Collection[Protocols], most: int) -> None:
    """Give up an eighth of ``most``: of the peers that have the most, those that have waited longest."""
    waiting = [one for one in connections if isinstance(one, BoundedProtocol) and one.waiting_since is not None]
    of_peer = Counter(one.peer for one in waiting)
    waiting.sort(key=lambda one: (-of_peer[one.peer], one.waiting_since))
    for one in waiting[: max(1, most // 8)]:
        one.give_up()
    if of_peer and _seldom.count("connections"):
        peer = of_peer.most_common(1)[0][0]
        _log.warning("more than %d connections are open, most of %s: those that wait longest are closed", most, peer)
