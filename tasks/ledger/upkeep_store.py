"""Upkeep of a SQL database: one short transaction per call, tried again while the database is out of reach."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from tasks.domain.budget import Spent
from tasks.ledger import pruning, submissions
from tasks.ledger.columns import aware
from tasks.ledger.database import Database
from tasks.ledger.upkeep import StoredResult

# Jobs whose story is forgotten in one transaction: few enough that others hardly wait.
_AT_ONCE = 500


class SqlUpkeep:
    """Implements :class:`tasks.ledger.upkeep.Upkeep`, which says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spent(self, pipeline: str, since: datetime) -> Spent:
        """Add up what a pipeline has submitted since a time."""
        at = aware(since)
        return self._database.look(lambda connection: submissions.spent(connection, pipeline, at))

    def prune_history(self, before: datetime, *, pipeline: str | None = None, dry_run: bool = False) -> int:
        """Forget how jobs came to be delivered; return how many lines."""
        before, lines, after = aware(before), 0, 0
        page = partial(pruning.told_page, size=_AT_ONCE, before=before, pipeline=pipeline)
        while True:
            keys, after = self._database.look(partial(page, after=after))
            if not keys:
                return lines
            if dry_run:
                lines += self._database.look(partial(pruning.count_story, keys=keys, before=before))
            else:
                lines += self._database.change(partial(pruning.forget_story, keys=keys, before=before))

    def prune_shards(self, before: datetime, *, pipeline: str | None = None, dry_run: bool = False) -> int:
        """Forget shards that are done."""
        asked = aware(before), pipeline
        if dry_run:
            return self._database.look(lambda connection: pruning.count_shards(connection, *asked))
        return self._database.change(lambda connection: pruning.forget_shards(connection, *asked))

    def replaced_results(self, before: datetime, *, pipeline: str | None = None) -> list[StoredResult]:
        """Results of versions that were replaced."""
        at = aware(before)
        return self._database.look(lambda connection: pruning.replaced(connection, at, pipeline))

    def forget_results(self, job_keys: Sequence[str]) -> None:
        """Note that results are not stored any more."""
        for start in range(0, len(job_keys), _AT_ONCE):
            self._database.change(partial(pruning.forget_results, keys=job_keys[start : start + _AT_ONCE]))

    def compact(self) -> bool:
        """Give free space back to the disk."""
        return self._database.compact()
