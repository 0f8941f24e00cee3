"""Opening a ledger: make it, bring its tables up to date, or say clearly why it cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection, column, delete, false, inspect, select, table

from tasks.domain.errors import LedgerMissing, LedgerUnavailable, LedgerUnusable
from tasks.domain.video import printable
from tasks.ledger.base import Ledger
from tasks.ledger.database import Database, keep_others_out, parse_url
from tasks.ledger.schema import REVISION, REVISION_TABLE
from tasks.ledger.store import SqlLedger

_MIGRATIONS = "tasks.ledger:migrations"


def open_ledger(
    url: str, *, create: bool = True, when_away: Callable[[LedgerUnavailable], None] | None = None
) -> Ledger:
    """Open the ledger at a database URL, its tables as this version of reelroute wants them.

    A SQLite file and its folder are made where they are missing, and a ledger of an older
    version is brought up to date; processes that do so at the same time wait for each other.

    Args:
        url: ``sqlite:////absolute/path/ledger.db`` or ``postgresql://user:password@host/database``;
            see also :func:`tasks.ledger.database.sqlite_url`.
        create: False leaves everything as it is if there is no ledger.
        when_away: For services, which start while their database is away: told what is wrong with it
            instead of an error being raised. The ledger is brought up to date by the first use that
            reaches it; until then every use raises LedgerUnavailable, or LedgerUnusable if that is found.

    Raises:
        LedgerMissing: There is no ledger, and ``create`` is False.
        LedgerUnusable: The address is wrong, something else is there, it cannot be written,
            or a newer reelroute has changed it.
        LedgerUnavailable: It is out of reach now, and there is no ``when_away``.
    """
    address = parse_url(url)
    if address.get_backend_name() == "sqlite":
        _prepare_file(address, create=create)
    database = Database(address)
    try:
        _bring_up_to_date(database, create=create)
    except LedgerUnavailable as error:
        if when_away is None:
            database.close()
            raise
        database.do_first(partial(_bring_up_to_date, database, create=create))
        when_away(error)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database)


def _prepare_file(address: URL, *, create: bool) -> None:
    """Make the folder, and find what SQLite would explain badly."""
    path = Path(str(address.database))
    where = f"the ledger {printable(str(path))}"
    try:
        if path.is_dir():
            raise LedgerUnusable(f"{where} is a folder, not a file", hint="name a file in it, such as ledger.db")
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            raise LedgerMissing(f"{where} does not exist")
    except OSError as error:
        raise LedgerUnusable(
            f"{where} cannot be reached: {error.strerror}", hint="check the path and who may read and write it"
        ) from None


def _bring_up_to_date(database: Database, *, create: bool) -> None:
    with database.read() as connection:
        revision = _revision(connection, database.where)
    if revision is None and not create:
        raise LedgerMissing(f"the ledger {database.where} is empty")
    database.prepare()
    with database.write() as connection:
        keep_others_out(connection, "migrate")
        if _revision(connection, database.where) == REVISION:
            # A ledger that cannot be written is found here, before anything is paid: SQLite begins
            # a write transaction on a read-only file without a word, and refuses the first statement.
            connection.execute(delete(table(REVISION_TABLE)).where(false()))
        else:
            _migrate(connection, database.where)


def _revision(connection: Connection, where: str) -> str | None:
    """Which migration the ledger is at; None for an empty database."""
    tables = inspect(connection).get_table_names()
    if REVISION_TABLE in tables:
        stored = connection.execute(select(column("version_num")).select_from(table(REVISION_TABLE))).scalar()
        return None if stored is None else str(stored)
    if tables:
        raise LedgerUnusable(
            f"the ledger {where} holds other tables, and none of reelroute's",
            hint="give reelroute a database of its own",
        )
    return None


def _migrate(connection: Connection, where: str) -> None:
    """Run the migrations that are missing, in the transaction that the caller holds."""
    # Loading alembic takes longer than everything else here, and is seldom needed.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    config.attributes["connection"] = connection
    revision = _revision(connection, where)
    if revision is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(revision)
        except CommandError:
            raise LedgerUnusable(
                f"the ledger {where} was written by a newer reelroute: its tables are at {printable(revision)}, "
                f"this version knows them up to {REVISION}",
                hint="upgrade reelroute, or set REELROUTE_LEDGER_URL to another ledger",
            ) from None
    command.upgrade(config, "head")
