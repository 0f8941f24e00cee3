"""Flows that end in the two ways that the clean-up must tell apart: ``python -m tests.benchmarks.short_flows NAME``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from prefect import flow, tags
from prefect.states import Completed


@flow
async def degraded() -> Any:
    """End well but for some videos, under a name of its own."""
    return Completed(name="Degraded", message="1 of 2 videos failed")


@flow
async def endless() -> None:
    """Work until somebody kills the process."""
    await asyncio.sleep(3600)


if __name__ == "__main__":
    with tags("reelroute"):
        asyncio.run({"degraded": degraded, "endless": endless}[sys.argv[1]]())
