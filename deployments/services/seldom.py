"""Log lines that strangers can cause: one a minute for each of them, with how many were left unsaid."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_AGAIN_AFTER_S = 60.0
_MOST_REMEMBERED = 1024


class Seldom:
    """Counts what happens by name, and says when it is time to tell."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds that never go back."""
        self._clock = clock
        self._told: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, name: str) -> int:
        """Count one more; how many there were since the last time, or 0 if it is too early to tell."""
        now = self._clock()
        told_at, untold = self._told.pop(name, (None, 0))
        is_time = told_at is None or now - told_at >= _AGAIN_AFTER_S
        self._told[name] = (now, 0) if is_time or told_at is None else (told_at, untold + 1)
        while len(self._told) > _MOST_REMEMBERED:
            self._told.popitem(last=False)
        return untold + 1 if is_time else 0
