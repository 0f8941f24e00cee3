"""Looking at ledger files from outside, and at why they are refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tasks.domain.errors import LedgerUnusable
from tasks.ledger.open import open_ledger


def refused(url: str, *, create: bool = True) -> LedgerUnusable:
    """The error that opening ends in."""
    with pytest.raises(LedgerUnusable) as caught:
        open_ledger(url, create=create)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    return caught.value


def sql(file: Path, *statements: str) -> list[tuple[object, ...]]:
    """Do something to a ledger behind its back; return the rows of the last statement."""
    connection = sqlite3.connect(file)
    with connection:
        rows = [connection.execute(statement).fetchall() for statement in statements][-1]
    connection.close()
    return rows
