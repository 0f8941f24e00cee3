"""Opening ledgers: what is made, what is brought up to date, and what is refused with a reason."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError

from tasks.domain.errors import LedgerMissing, LedgerUnusable
from tasks.domain.job import DeliveryState, Failure, JobState
from tasks.ledger import database
from tasks.ledger.database import sqlite_url
from tasks.ledger.open import open_ledger
from tasks.ledger.schema import REVISION, REVISION_TABLE, metadata
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, add

NOBODY = 65534


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


def execute(opened: database.Database, statement: str) -> None:
    """Run a statement in a write transaction of its own."""
    with opened.write() as connection:
        connection.exec_driver_sql(statement)


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
