"""The ledger in a PostgreSQL database keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.ledger import LedgerContract
from tests.postgres import PostgresServer


class TestPostgresqlLedger(LedgerContract):
    """PostgreSQL, for ledgers that several machines share."""

    @pytest.fixture
    def ledger_url(self, postgres: PostgresServer) -> Iterator[str]:
        """An empty database."""
        with postgres.database() as name:
            yield postgres.url(name)
