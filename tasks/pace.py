"""A shared rate: many callers, so many of them per second, in the order in which they came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any


class Pace:
    """A token bucket of one event loop: ``burst`` callers at once, then ``per_s`` each second.

    Args:
        clock, sleep: Time, as in :class:`tasks.run.Run`.
    """

    def __init__(
        self,
        per_s: float,
        *,
        burst: int,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[Any]],
    ) -> None:
        self._apart = timedelta(seconds=1 / per_s)
        self._ahead = self._apart * (burst - 1)
        self._clock = clock
        self._sleep = sleep
        self._next = clock() - self._ahead

    async def turn(self) -> None:
        """Wait until it is our turn."""
        now = self._clock()
        mine = max(self._next, now - self._ahead)
        self._next = mine + self._apart
        if mine > now:
            await self._sleep((mine - now).total_seconds())
