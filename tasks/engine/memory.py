"""How much memory this process may take, and who is ended first should the machine run out of it."""

from __future__ import annotations

import os
import random
import resource
from contextlib import suppress
from pathlib import Path

# A decoder takes memory for each core that it sees.
_CORES = 4


def confine(memory: int) -> None:
    """Let this process have so many bytes at most: asking for more fails, as on a machine without any left.

    Only Linux keeps to it.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, random.sample(cores, min(len(cores), _CORES)))


def be_ended_first() -> None:
    """Should the machine run out of memory, let Linux end this process rather than the one that we work for."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
