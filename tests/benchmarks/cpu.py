"""What something costs this process."""

from __future__ import annotations

import time
from collections.abc import Callable


def cpu_s(act: Callable[[], object], rounds: int = 2) -> float:
    """Seconds of this process's CPU, all threads: the best of some rounds."""
    costs = []
    for _ in range(rounds):
        before = time.process_time()
        act()
        costs.append(time.process_time() - before)
    return min(costs)
