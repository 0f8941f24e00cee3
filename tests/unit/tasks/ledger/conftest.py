"""Ledger files for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.ledger.database import sqlite_url
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_samples import add


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a ledger can be."""
    return tmp_path / "ledger.db"


@pytest.fixture
def made(file: Path) -> Path:
    """A ledger with one job."""
    ledger = open_ledger(sqlite_url(file))
    add(ledger)
    ledger.close()
    return file
