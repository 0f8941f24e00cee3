"""What reelroute asks of the ledger beside its work: what was spent in a period, and forgetting what is long over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tasks.domain.budget import Spent


@dataclass(frozen=True, slots=True)
class StoredResult:
    """Results JSON of a job, in the results store."""

    job_key: str
    result_key: str


class Upkeep(Protocol):
    """Part of the ledger, with its promises on faults, times and threads."""

    def spent(self, pipeline: str, since: datetime) -> Spent:
        """Add up what a pipeline has submitted since a time; what the service refused is not in it."""
        ...

    def prune_history(self, before: datetime, *, pipeline: str | None = None, dry_run: bool = False) -> int:
        """Forget how jobs came to be delivered that have been, everywhere, since before a time; return how many lines.

        Jobs, deliveries and submissions stay as they are, and the first line of each story. A job that failed,
        is unknown or is not delivered everywhere keeps its whole story.

        Args:
            pipeline: Only jobs of this one.
            dry_run: Count, and change nothing.
        """
        ...

    def prune_shards(self, before: datetime, *, pipeline: str | None = None, dry_run: bool = False) -> int:
        """Forget shards that were worked through before a time; return how many."""
        ...

    def replaced_results(self, before: datetime, *, pipeline: str | None = None) -> list[StoredResult]:
        """Results of versions that another one, which has results, replaced before a time in every pipeline.

        Not among them are results that another job has taken over, or that a route is still to get.
        """
        ...

    def forget_results(self, job_keys: Sequence[str]) -> None:
        """Note that results are not stored any more; the jobs stay as they are otherwise."""
        ...

    def compact(self) -> bool:
        """Give free space back to the disk where that pays and the database does not do it by itself.

        Raises:
            LedgerUnusable: Another process held it, or there is no room for the copy; nothing is lost.
        """
        ...
