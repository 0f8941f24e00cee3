"""What reelroute asks of the ledger beside its work: what was spent in a period, and forgetting what is long over."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from tasks.domain.budget import Spent


class Upkeep(Protocol):
    """Part of the ledger, with its promises on faults, times and threads."""

    def spent(self, pipeline: str, since: datetime) -> Spent:
        """Add up what a pipeline has submitted since a time; what the service refused is not in it."""
        ...
