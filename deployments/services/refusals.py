"""Callers without the right key wait for their answer, and the log names them: guessing takes time.

Every 401 and 403 of a peer takes twice as long as the one before, up to two seconds, until the peer was
quiet for a minute. Only the answer waits: no thread is held, nobody else notices, and the right key is
taken at once, also from a peer that guesses.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.services.connections import peer_of
from deployments.services.seldom import Seldom
from tasks.domain.video import printable

_log = logging.getLogger("reelroute.serve")

REFUSED = (401, 403)
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
_FORGOTTEN_AFTER_S = 60.0
# Answers that wait for one peer; more are turned away, so that they take no connection for long.
MOST_WAITING = 16
_MOST_PEERS = 1024

Sleep = Callable[[float], Awaitable[object]]


def note_refusal(request: Request, why: str) -> None:
    """Keep for the log why a request is refused: words of ours, nothing that the request said."""
    request.state.refused = why


def add_slow_refusals(app: FastAPI) -> None:
    """Let refused callers of the application wait, and log them."""
    app.add_middleware(SlowRefusals)


class Guesses:
    """How often each peer was refused lately; the ones that were quiet longest are forgotten first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._of_peer: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, peer: str) -> float:
        """Count one more; how long its answer is to wait."""
        now = self._clock()
        count, last = self._of_peer.pop(peer, (0, now))
        count = 0 if now - last > _FORGOTTEN_AFTER_S else count
        self._of_peer[peer] = count + 1, now
        while len(self._of_peer) > _MOST_PEERS:
            self._of_peer.popitem(last=False)
        return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(count, 10))


class SlowRefusals:
    """Holds back answers that refuse the caller."""

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._app = app
        self._sleep = sleep
        self._guesses = Guesses(clock)
        self._seldom = Seldom(clock)
        self._waiting: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; its answer may wait."""
        turned_away = False

        async def sending(message: Message) -> None:
            nonlocal turned_away
            if message["type"] == "http.response.start" and message["status"] in REFUSED:
                turned_away = not await self._hold(scope, message["status"])
                if turned_away:
                    await _TOO_MANY(scope, receive, send)
            if not turned_away:
                await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)

    async def _hold(self, scope: Scope, status: int) -> bool:
        """Wait as long as the peer has to; False if too many of its answers wait already."""
        peer = peer_of(scope["client"][0] if scope.get("client") else "")
        self._tell(scope, status, peer)
        wait_s = self._guesses.wait_s(peer)
        if self._waiting[peer] >= MOST_WAITING:
            return False
        self._waiting[peer] += 1
        try:
            await self._sleep(wait_s)
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]
        return True

    def _tell(self, scope: Scope, status: int, peer: str) -> None:
        why = scope.get("state", {}).get("refused", "the signature of a URL does not hold")
        if count := self._seldom.count(f"{peer}: {why}"):
            _log.warning("refused with %d: %s, from %s (%d since the last line)", status, why, printable(peer), count)


_TOO_MANY = JSONResponse(
    {
        "error": "too_many_refusals",
        "message": "too many requests of this address were refused",
        "hint": "wait, then send the right key",
    },
    429,
    headers={"Retry-After": "5", "Connection": "close"},
)
