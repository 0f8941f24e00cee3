"""Addresses of ledgers, and what their errors say."""

from __future__ import annotations

import re
from pathlib import Path
from traceback import format_exception

import pytest
from sqlalchemy import URL
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from tasks.domain.errors import LedgerUnusable
from tasks.ledger import deliveries, jobs
from tasks.ledger.database import Database, parse_url, sqlite_url
from tasks.ledger.open import open_ledger
from tasks.ledger.postgresql import normal_url
from tasks.ledger.schema import metadata

PASSWORD = "5ec7e7"


class TestAddress:
    """From a setting to a database."""

    def test_a_sqlite_path_becomes_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Below the working folder of this moment."""
        monkeypatch.chdir(tmp_path)
        assert str(tmp_path / "state" / "ledger.db") == parse_url("sqlite:///state/ledger.db").database
        assert "/var/ledger.db" == parse_url("sqlite:////var/ledger.db").database

    def test_a_path_makes_a_url_and_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Relative ones too."""
        monkeypatch.chdir(tmp_path)
        for name in ("a?b", "a#b", "a%20b", "a b", "é✓"):
            assert str(tmp_path / name) == parse_url(sqlite_url(Path(name))).database

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "ledger.db",
            "/var/ledger.db",
            f"postgresql://user:{PASSWORD}@host:port/db",
            f"postgresql://user:p@{PASSWORD}@host/db",
            f"postgresql://user:{PASSWORD}@host",
            f"postgresql://user:{PASSWORD}@/db",
            f"mysql://user:{PASSWORD}@host/db",
            f"{PASSWORD}://host/db",
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:///ledger.db?mode=ro",
            "sqlite:///file:ledger.db",
        ],
    )
    def test_what_is_no_address_is_refused(self, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With what to write instead, without the password, and making nothing."""
        monkeypatch.chdir(tmp_path)
        with pytest.raises(LedgerUnusable) as caught:
            open_ledger(text)
        assert re.search(r"write (sqlite|postgresql)://", caught.value.hint)
        assert PASSWORD not in "".join(format_exception(caught.value))
        assert [] == list(tmp_path.iterdir())


class TestWords:
    """How a database is called in messages."""

    def test_a_postgresql_ledger_is_named_without_secrets(self) -> None:
        """Host, port and database; a password can also be among the options."""
        url = URL.create(
            "postgresql", "me", PASSWORD, "db.example", 5433, "reelroute", query={"password": PASSWORD, "sslmode": "x"}
        )
        assert "postgresql://db.example:5433/reelroute" == Database(normal_url(url)).where

    @pytest.mark.parametrize("driver", ["psycopg2", "pg8000", "nonsense"])
    def test_another_driver_is_refused(self, driver: str) -> None:
        """How errors are told apart is known for one."""
        with pytest.raises(LedgerUnusable, match="driver other than psycopg") as caught:
            open_ledger(f"postgresql+{driver}://me:{PASSWORD}@127.0.0.1/db")
        assert "write postgresql://" in caught.value.hint
        assert PASSWORD not in "".join(format_exception(caught.value))

    def test_control_characters_in_a_path_are_escaped(self, tmp_path: Path) -> None:
        """A path cannot forge lines of a log."""
        folder = tmp_path / "a\nb"
        folder.mkdir()
        with pytest.raises(LedgerUnusable, match=r"a\\nb is a folder"):
            open_ledger(sqlite_url(folder))


class TestPortability:
    """The same tables and statements are for both databases."""

    def test_the_tables_can_be_made_in_postgresql(self) -> None:
        """With counters that count by themselves and plain text for times."""
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        made = "".join(str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables)
        assert 4 == made.count("BIGSERIAL")
        assert "VARIANT" not in made
        for index in {index for table in metadata.sorted_tables for index in table.indexes}:
            assert str(index.name) in str(CreateIndex(index).compile(dialect=dialect))

    def test_no_index_holds_text_of_any_length_but_names(self) -> None:
        """PostgreSQL indexes no value above 2,704 bytes, which a URI can have: none is indexed."""
        indexed = {
            column.name for table in metadata.sorted_tables for index in table.indexes for column in index.columns
        }
        keys = {column.name for table in metadata.sorted_tables for column in table.primary_key}
        # Short, and made by us.
        ours = {
            "at",
            "attempt",
            "batch",
            "content",
            "formed_at",
            "lease_owner",
            "name",
            "number",
            "object_key",
            "shard",
        }
        ours |= {"uri_key"}
        assert {"id", "key", "job_key", "video_key", "state", "pipeline"} == (indexed | keys) - ours

    def test_rows_are_locked_where_the_database_can(self) -> None:
        """PostgreSQL locks the row that is about to be moved; SQLite is locked as a whole."""
        on_postgresql = postgresql.dialect()  # type: ignore[no-untyped-call]
        for statement in (jobs._ONE_LOCKED, jobs._LOCK, deliveries._OF_JOB):
            locked = str(statement.compile(dialect=on_postgresql))
            assert "FOR UPDATE" in locked or "FOR NO KEY UPDATE" in locked
            assert " FOR " not in str(statement.compile(dialect=sqlite.dialect()))
