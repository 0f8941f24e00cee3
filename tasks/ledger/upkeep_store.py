"""Upkeep of a SQL database: one short transaction per call, tried again while the database is out of reach."""

from __future__ import annotations

from datetime import datetime

from tasks.domain.budget import Spent
from tasks.ledger import submissions
from tasks.ledger.columns import aware
from tasks.ledger.database import Database


class SqlUpkeep:
    """Implements :class:`tasks.ledger.upkeep.Upkeep`, which says what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spent(self, pipeline: str, since: datetime) -> Spent:
        """Add up what a pipeline has submitted since a time."""
        at = aware(since)
        return self._database.look(lambda connection: submissions.spent(connection, pipeline, at))
