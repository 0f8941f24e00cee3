"""What cannot be a ledger, or not now: refused with a reason, before anything is paid."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from tasks.domain.errors import LedgerUnusable
from tasks.ledger import database
from tasks.ledger.database import sqlite_url
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_samples import add
from tests.unit.tasks.ledger.sqlite_files import refused, sql

NOBODY = 65534


def execute(opened: database.Database, statement: str) -> None:
    """Run a statement in a write transaction of its own."""
    with opened.write() as connection:
        connection.exec_driver_sql(statement)


class TestRefusals:
    """What cannot be a ledger, or not now."""

    @pytest.mark.parametrize(
        ("content", "said"),
        [(b"not a database at all, " * 100, "file is not a database"), (b"PK\3\4", "file is not a database")],
    )
    def test_another_kind_of_file(self, file: Path, content: bytes, said: str) -> None:
        """It is named, and left as it is."""
        file.write_bytes(content)
        error = refused(sqlite_url(file))
        assert str(file) in error.message
        assert said in error.message
        assert content == file.read_bytes()

    def test_another_program_s_database(self, file: Path) -> None:
        """Even one that alembic looks after, such as Prefect's."""
        sql(file, "CREATE TABLE alembic_version (version_num TEXT)", "CREATE TABLE flow_run (id TEXT)")
        assert "holds other tables" in refused(sqlite_url(file)).message
        assert [("alembic_version",), ("flow_run",)] == sql(file, "SELECT name FROM sqlite_master")

    def test_a_folder(self, tmp_path: Path) -> None:
        """The hint says to name a file in it."""
        error = refused(sqlite_url(tmp_path))
        assert f"{tmp_path} is a folder" in error.message

    def test_a_folder_that_is_a_file(self, file: Path) -> None:
        """No folder can be made below it."""
        file.touch()
        assert "cannot be reached" in refused(sqlite_url(file / "ledger.db")).message

    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        """The system's limit is reported, not raised."""
        assert "File name too long" in refused(sqlite_url(tmp_path / ("x" * 300))).message

    @pytest.mark.parametrize("create", [True, False])
    def test_a_damaged_file(self, made: Path, create: bool) -> None:
        """The hint says what can be saved."""
        content = bytearray(made.read_bytes())
        content[100:4096] = b"\xff" * 3996
        made.write_bytes(content)
        error = refused(sqlite_url(made), create=create)
        assert "malformed" in error.message
        assert "backup" in error.hint

    def test_damage_that_is_met_later(self, made: Path) -> None:
        """Any call may find it, and says the same."""
        ledger = open_ledger(sqlite_url(made))
        ledger.close()
        content = bytearray(made.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        made.write_bytes(content)
        with pytest.raises(LedgerUnusable, match="malformed"):
            list(ledger.jobs())
        ledger.close()

    def test_a_full_disk(self, made: Path) -> None:
        """What was recorded stays; the hint says to make room."""
        opened = database.Database(database.parse_url(sqlite_url(made)))
        with opened.read() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")  # stays with the pooled connection
        with pytest.raises(LedgerUnusable, match="full") as caught:
            execute(opened, "CREATE TABLE t AS SELECT randomblob(1000000)")
        opened.close()
        assert "free space" in caught.value.hint
        assert [(1,)] == sql(made, "SELECT count(*) FROM jobs")

    def test_a_mistake_of_ours_is_not_the_ledger_s(self, made: Path) -> None:
        """A bug surfaces as a bug, without the values."""
        opened = database.Database(database.parse_url(sqlite_url(made)))
        with pytest.raises(IntegrityError, match="UNIQUE"):
            execute(opened, "INSERT INTO pipeline_jobs SELECT * FROM pipeline_jobs")
        opened.close()


class TestBusy:
    """Another program holds it."""

    def test_whoever_never_lets_go_is_named(self, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """After the wait, with what to close; never "database is locked"."""
        monkeypatch.setattr(database, "BUSY_S", 0.05)
        holder = sqlite3.connect(made, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        error = refused(sqlite_url(made))
        holder.close()
        assert "held by another program" in error.message
        assert "locked" not in error.message

    def test_readers_do_not_wait_for_a_writer(self, made: Path) -> None:
        """A status is shown in the middle of another process's transaction."""
        ledger = open_ledger(sqlite_url(made))
        holder = sqlite3.connect(made, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        holder.execute("UPDATE jobs SET attempts = 7")
        assert [0] == [job.attempts for job in ledger.jobs()]
        holder.close()
        ledger.close()

    @pytest.mark.parametrize("statement", ["SELECT 1", "CREATE TABLE t (a)", "CREATE TABLE t (a); DROP TABLE t"])
    def test_a_writer_in_a_new_file_is_waited_for(self, file: Path, statement: str) -> None:
        """Also by the change to the write-ahead log, which SQLite itself does not let wait."""
        holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        for part in statement.split(";"):
            holder.execute(part)
        timer = threading.Timer(0.3, lambda: holder.execute("ROLLBACK"))
        timer.start()
        ledger = open_ledger(sqlite_url(file))
        assert add(ledger)
        timer.join()
        ledger.close()
        holder.close()

    def test_a_ledger_in_rollback_mode_is_switched(self, made: Path) -> None:
        """Such as a copy that a backup made."""
        sql(made, "PRAGMA journal_mode = DELETE")
        open_ledger(sqlite_url(made)).close()
        assert [("wal",)] == sql(made, "PRAGMA journal_mode")


class TestReadOnly:
    """Rights, tried as a user who has none (root may do everything)."""

    @pytest.fixture
    def state(self) -> Iterator[Path]:
        """A folder that others may enter, which pytest's own are not."""
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)
        shutil.rmtree(folder)

    def open_as_nobody(self, file: Path) -> str:
        """What a process without rights is told."""
        script = (
            "import os, sqlite3, sys\n"
            "from tasks.domain.errors import LedgerUnusable\n"
            "from tasks.ledger.open import open_ledger\n"
            "if os.geteuid() == 0:\n"
            f"    os.seteuid({NOBODY})\n"
            "try:\n"
            "    open_ledger(sys.argv[1]).close()\n"
            "except LedgerUnusable as error:\n"
            "    print(error.message, '|', error.hint)\n"
        )
        command = [sys.executable, "-c", script, sqlite_url(file)]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert "" == ended.stderr
        return ended.stdout

    def test_a_folder_that_cannot_be_written(self, state: Path) -> None:
        """Neither a ledger nor a folder for it can be made."""
        state.chmod(0o555)
        assert "cannot be used" in self.open_as_nobody(state / "ledger.db")
        assert "Permission denied" in self.open_as_nobody(state / "sub" / "ledger.db")

    @pytest.mark.parametrize(("of_folder", "of_file"), [(0o777, 0o444), (0o555, 0o666), (0o555, 0o444), (0o777, 0)])
    def test_a_ledger_that_cannot_be_written(self, state: Path, of_folder: int, of_file: int) -> None:
        """Found at the opening, before anything is paid; a hint speaks of file and folder."""
        file = state / "ledger.db"
        open_ledger(sqlite_url(file)).close()
        file.chmod(of_file)
        state.chmod(of_folder)
        told = self.open_as_nobody(file)
        assert str(file) in told
        assert "make the file and its folder" in told

    def test_a_folder_that_cannot_be_entered(self, state: Path) -> None:
        """It is not even known whether a ledger is there."""
        (state / "secret").mkdir(mode=0o700)
        assert "cannot be reached: Permission denied" in self.open_as_nobody(state / "secret" / "ledger.db")


def test_a_file_that_was_removed_takes_nothing_more(tmp_path: Path) -> None:
    """It stays open, and a change that went into it would be lost without a word; put back, it is the ledger again."""
    path = tmp_path / "ledger.db"
    with closing(open_ledger(sqlite_url(path))) as ledger:
        key = add(ledger)
        path.rename(tmp_path / "moved.db")
        with pytest.raises(LedgerUnusable, match="removed or replaced"):
            ledger.release(key, "me")
        (tmp_path / "moved.db").rename(path)
        ledger.release(key, "me")
