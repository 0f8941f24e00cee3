"""Opening ledgers: what is made, what is brought up to date, and what ends up in the file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from tasks.domain.errors import LedgerMissing
from tasks.domain.job import DeliveryState, Failure, JobState
from tasks.ledger import database
from tasks.ledger.database import sqlite_url
from tasks.ledger.jobs import uri_key
from tasks.ledger.open import open_ledger
from tasks.ledger.schema import REVISION, REVISION_TABLE, metadata
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, add
from tests.unit.tasks.ledger.sqlite_files import refused, sql


class TestMaking:
    """A ledger that is not there yet."""

    def test_folders_are_made_and_the_log_is_written_ahead(self, tmp_path: Path) -> None:
        """One file in the end, which remembers its mode."""
        file = tmp_path / "a" / "b" / "ledger.db"
        open_ledger(sqlite_url(file)).close()
        assert [file] == list(file.parent.iterdir())
        assert [("wal",)] == sql(file, "PRAGMA journal_mode")

    def test_commits_reach_the_disk(self, file: Path) -> None:
        """Every connection syncs at each commit and checks references."""
        opened = database.Database(database.parse_url(sqlite_url(file)))
        with opened.read() as one, opened.read() as other:
            for connection in (one, other):
                assert 2 == connection.exec_driver_sql("PRAGMA synchronous").scalar()
                assert 1 == connection.exec_driver_sql("PRAGMA foreign_keys").scalar()
        opened.close()

    @pytest.mark.parametrize("name", ["a b?c#d%41&e.db", "ledger ✓ é.db", "':memory:'.db", "file:x.db", "@:@.db"])
    def test_any_path_can_hold_it(self, tmp_path: Path, name: str) -> None:
        """Characters that mean something in a URL do not mean it here."""
        open_ledger(sqlite_url(tmp_path / name)).close()
        assert (tmp_path / name).is_file()

    def test_a_relative_path_is_settled_when_it_is_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever changes the working folder afterwards does not get another ledger."""
        monkeypatch.chdir(tmp_path)
        ledger = open_ledger("sqlite:///ledger.db")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        ledger.close()
        add(ledger)
        ledger.close()
        assert [(1,)] == sql(tmp_path / "ledger.db", "SELECT count(*) FROM jobs")

    @pytest.mark.parametrize("what", ["nothing", "an empty file"])
    def test_nothing_is_made_unless_it_is_asked_for(self, tmp_path: Path, what: str) -> None:
        """``create=False`` says that there is no ledger, and leaves the place as it was."""
        file = tmp_path / "state" / "ledger.db"
        if what == "an empty file":
            file.parent.mkdir()
            file.touch()
        error = refused(sqlite_url(file), create=False)
        assert isinstance(error, LedgerMissing)
        assert str(file) in error.message
        assert file.exists() == (what == "an empty file")
        assert file.parent.exists() == (what == "an empty file")

    def test_an_existing_ledger_opens_either_way(self, made: Path) -> None:
        """With what was in it."""
        for create in (True, False):
            ledger = open_ledger(sqlite_url(made), create=create)
            assert 1 == len(list(ledger.jobs()))
            ledger.close()


class TestMigrations:
    """From empty, from older, from newer."""

    def test_migrations_lead_to_the_schema(self, made: Path) -> None:
        """What they build from nothing is what the code believes: no column, index or key differs."""
        engine = create_engine(sqlite_url(made))
        with engine.connect() as connection:
            options = {"compare_type": True, "compare_server_default": True, "version_table": REVISION_TABLE}
            differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        engine.dispose()
        assert [] == differences

    def test_the_last_migration_is_the_one_that_the_code_expects(self) -> None:
        """Otherwise every opening would load alembic, or none would migrate."""
        config = Config()
        config.set_main_option("script_location", "tasks.ledger:migrations")
        assert [REVISION] == ScriptDirectory.from_config(config).get_heads()

    def test_a_ledger_that_is_up_to_date_opens_without_alembic(self, made: Path) -> None:
        """Loading it takes longer than everything else."""
        script = (
            "import sys\n"
            "from tasks.ledger.open import open_ledger\n"
            "open_ledger(sys.argv[1]).close()\n"
            "print('alembic' in sys.modules)"
        )
        command = [sys.executable, "-c", script, sqlite_url(made)]
        assert "False\n" == subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def test_a_newer_ledger_is_refused(self, made: Path) -> None:
        """Nothing is written to it, and the hint says to upgrade."""
        sql(made, f"UPDATE {REVISION_TABLE} SET version_num = '0999'")
        before = made.read_bytes()
        for create in (True, False):
            error = refused(sqlite_url(made), create=create)
            assert "was written by a newer reelroute" in error.message
            assert "0999" in error.message
            assert "upgrade" in error.hint
        assert before == made.read_bytes()

    def test_a_ledger_of_an_older_version_is_brought_up_to_date(self, file: Path) -> None:
        """With everything that was in it, and used as a new one is."""
        engine = create_engine(sqlite_url(file))
        config = Config()
        config.set_main_option("script_location", "tasks.ledger:migrations")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
        engine.dispose()
        sql(
            file,
            "INSERT INTO videos VALUES ('k', 's3://bucket/a.mp4', 'v', 7, '2026-03-01T02:30:00.000000+00:00', NULL)",
        )
        ledger = open_ledger(sqlite_url(file))
        key = add(ledger)
        assert ledger.claim(key, "me", LEASE, NOW) is not None
        ledger.close()
        assert [(REVISION,)] == sql(file, f"SELECT version_num FROM {REVISION_TABLE}")
        assert [("k", 7, None)] == sql(file, "SELECT key, size, content FROM videos WHERE size = 7")
        assert [(uri_key("s3://bucket/a.mp4"),)] == sql(file, "SELECT uri_key FROM videos WHERE size = 7")

    def test_a_migration_that_dies_leaves_nothing(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """All tables or none: the next to open starts from the beginning."""

        class Killed(BaseException):
            pass

        def die(*_: object) -> None:
            raise Killed

        monkeypatch.setattr("alembic.command.upgrade", upgrade_then(die))
        with pytest.raises(Killed):
            open_ledger(sqlite_url(file))
        assert [] == sql(file, "SELECT name FROM sqlite_master")
        monkeypatch.undo()
        open_ledger(sqlite_url(file)).close()

    def test_an_unfinished_ledger_is_finished(self, file: Path) -> None:
        """A revision table without a revision is what an empty database is."""
        sql(file, f"CREATE TABLE {REVISION_TABLE} (version_num VARCHAR(32) NOT NULL)")
        ledger = open_ledger(sqlite_url(file))
        add(ledger)
        ledger.close()


def upgrade_then(step: Callable[..., None]) -> Callable[..., None]:
    """alembic's upgrade, with something after it."""
    from alembic import command

    upgrade = command.upgrade

    def both(*arguments: object) -> None:
        upgrade(*arguments)  # type: ignore[arg-type]
        step()

    return both


class TestContents:
    """The file itself."""

    def test_no_signature_is_in_the_file(self, file: Path) -> None:
        """Whatever was handed over, the bytes on disk have no secret."""
        secret = "5ec7e7"
        signed = f"https://user:{secret}@host/x.mp4?X-Amz-Signature={secret}"
        leak = Failure("poll", "c", f"GET {signed}: 403", f"url: /x.mp4?sig={secret}")
        ledger = open_ledger(sqlite_url(file))
        key = add(ledger)
        ledger.claim(key, "me", LEASE, NOW)
        ledger.move(key, JobState.PLANNED, JobState.SUBMITTING, "me", NOW, service=signed)
        ledger.move(key, JobState.SUBMITTING, JobState.FAILED, "me", NOW, failure=leak)
        ledger.plan_deliveries(PIPELINE, key, {"results": "a"}, NOW)
        ledger.claim_delivery(PIPELINE, key, "results", "me", LEASE, NOW)
        ledger.finish_delivery(
            PIPELINE, key, "results", "me", DeliveryState.FAILED, NOW, outputs=[signed], failure=leak
        )
        on_disk = b"".join(path.read_bytes() for path in file.parent.iterdir())
        assert b"x.mp4?" in on_disk
        assert secret.encode() not in on_disk
        ledger.close()

    def test_people_can_read_it(self, made: Path) -> None:
        """Times, states and specs are text."""
        assert [("planned", "2026-03-01T02:30:00.000000+00:00")] == sql(made, "SELECT state, updated_at FROM jobs")
