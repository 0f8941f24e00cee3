"""The ledger in a SQLite file keeps the contract, and the file stays sound."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.ledger.database import sqlite_url
from tests.contracts.ledger import LedgerContract


class TestSqliteLedger(LedgerContract):
    """SQLite, as `reelroute` uses it by default."""

    @pytest.fixture
    def ledger_url(self, tmp_path: Path) -> Iterator[str]:
        """A file in a folder that does not exist yet; checked once the test is done with it."""
        file = tmp_path / "state" / "ledger.db"
        yield sqlite_url(file)
        if file.exists():
            with sqlite3.connect(file) as connection:
                assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
                assert [] == connection.execute("PRAGMA foreign_key_check").fetchall()
            connection.close()
