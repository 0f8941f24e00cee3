"""A shared rate: many callers, so many of them per second, in the order in which they came."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

# Linux's counts while the machine sleeps, as macOS's monotonic clock does and Linux's own does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time_s() -> float:
    """Seconds since this machine started: setting its date changes nothing, and a sleep counts."""
    return time.clock_gettime(_CLOCK)


class Pace:
    """A token bucket of one event loop: ``burst`` callers at once, then ``per_s`` each second.

    Args:
        timer: Seconds since some moment, which no change of the date moves.
        sleep: As in :class:`tasks.run.Run`.
    """

    def __init__(
        self,
        per_s: float,
        *,
        burst: int,
        timer: Callable[[], float],
        sleep: Callable[[float], Awaitable[Any]],
    ) -> None:
        self._apart_s = 1 / per_s
        self._ahead_s = self._apart_s * (burst - 1)
        self._timer = timer
        self._sleep = sleep
        self._next = timer() - self._ahead_s

    async def turn(self) -> None:
        """Wait until it is our turn."""
        now = self._timer()
        mine = max(self._next, now - self._ahead_s)
        self._next = mine + self._apart_s
        if mine > now:
            await self._sleep(mine - now)
