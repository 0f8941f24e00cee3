"""A ledger that is opened by a service while its database is away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tasks.domain.errors import LedgerUnavailable, LedgerUnusable
from tasks.ledger import database
from tasks.ledger.open import open_ledger
from tasks.ledger.schema import REVISION_TABLE
from tests.contracts.ledger_samples import NOW, PIPELINE, many
from tests.postgres import PASSWORD, PostgresServer


@pytest.fixture
def name(postgres: PostgresServer) -> Iterator[str]:
    """An empty database, in a server that is running again afterwards."""
    with postgres.database() as fresh:
        yield fresh
        if postgres.process is None:
            postgres.start()


def test_it_is_made_by_the_first_use_that_reaches_it(
    postgres: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then every use says what is wrong; then many at once find one ledger, whose tables were made once."""
    monkeypatch.setattr(database, "PATIENCE_S", 0.3)
    postgres.stop()
    told: list[LedgerUnavailable] = []
    with closing(open_ledger(postgres.url(name), when_away=told.append)) as ledger:
        assert ["cannot be reached" in error.message for error in told] == [True]
        with pytest.raises(LedgerUnavailable, match="cannot be reached"):
            ledger.plan(PIPELINE, many(1), NOW)
        postgres.start()
        with ThreadPoolExecutor(6) as pool:
            new = list(pool.map(lambda _: ledger.plan(PIPELINE, many(3), NOW), range(6)))
        assert [0, 0, 0, 0, 0, 3] == sorted(new)
        assert 3 == len(list(ledger.jobs()))


def test_one_that_comes_is_waited_for_like_one_that_comes_back(postgres: PostgresServer, name: str) -> None:
    """Whoever uses it meanwhile notices nothing but the time."""
    postgres.stop()
    with closing(open_ledger(postgres.url(name), when_away=lambda _: None)) as ledger:
        starter = threading.Timer(0.5, postgres.start)
        starter.start()
        try:
            assert 2 == ledger.plan(PIPELINE, many(2), NOW)
        finally:
            starter.join()


def test_what_is_found_wrong_later_is_told_each_time(postgres: PostgresServer, name: str) -> None:
    """A newer ledger is left alone; it is not waited for."""
    open_ledger(postgres.url(name)).close()
    postgres.sql(f"UPDATE {REVISION_TABLE} SET version_num = '0999'", name)
    postgres.stop()
    with closing(open_ledger(postgres.url(name), when_away=lambda _: None)) as ledger:
        postgres.start()
        for _ in range(2):
            with pytest.raises(LedgerUnusable, match="was written by a newer reelroute"):
                ledger.plan(PIPELINE, many(1), NOW)
    assert [("0999",)] == postgres.sql(f"SELECT version_num FROM {REVISION_TABLE}", name)


def test_what_is_final_is_told_at_once(postgres: PostgresServer, name: str) -> None:
    """A wrong password is no absence."""
    told: list[LedgerUnavailable] = []
    with pytest.raises(LedgerUnusable, match="password authentication failed"):
        open_ledger(postgres.url(name, password=f"not {PASSWORD}".replace(" ", "-")), when_away=told.append)
    assert [] == told


def test_closing_ends_the_waiting(postgres: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is told to stop does not sit out its patience with a server that may never come."""
    monkeypatch.setattr(database, "PATIENCE_S", 3600.0)
    postgres.stop()
    ledger = open_ledger(postgres.url(name), when_away=lambda _: None)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ledger.plan, PIPELINE, many(1), NOW)
        ledger.close()
        with pytest.raises(LedgerUnavailable):
            waiting.result(60)
