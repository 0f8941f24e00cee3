"""The database under the ledger: its address, short transactions, and its errors in our words.

What differs between SQLite and PostgreSQL is here and in ``postgresql.py``. No table is known here.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import stamina
from sqlalchemy import (
    URL,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    exc,
    func,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from tasks.domain.errors import LedgerUnavailable, LedgerUnusable
from tasks.domain.video import printable
from tasks.ledger.postgresql import bare_address, in_our_words, normal_url, postgresql_engine

T = TypeVar("T")

# Longest wait for another process that is writing. Transactions last milliseconds.
BUSY_S = 60.0
# How long we try again when the database is out of reach: a restart or a failover takes less.
PATIENCE_S = 60.0

_URL_HINT = "write sqlite:////absolute/path/ledger.db or postgresql://user:password@host/database"

# SQLite's own name of what went wrong (its start) -> what to do about it.
_HINTS = {
    "SQLITE_BUSY": "close whatever holds a transaction open on it, such as a database browser",
    "SQLITE_LOCKED": "close whatever holds a transaction open on it, such as a database browser",
    "SQLITE_READONLY": "make the file and its folder writable: SQLite keeps a journal beside the file",
    "SQLITE_CANTOPEN": "make the file and its folder readable and writable",
    "SQLITE_PERM": "make the file and its folder readable and writable",
    "SQLITE_NOTADB": "the file is something else: move it away, or set REELROUTE_LEDGER_URL to another path",
    "SQLITE_CORRUPT": "restore it from a backup, or save what is left with `sqlite3 ledger.db .recover`",
    "SQLITE_FULL": "free space on the disk and run again: nothing that was recorded is lost",
    "SQLITE_IOERR": "check the disk; a ledger on a network share needs PostgreSQL instead",
    "SQLITE_PROTOCOL": "keep the ledger on a local disk; to share it between machines use PostgreSQL",
}


def parse_url(text: str) -> URL:
    """Read a ledger URL; a SQLite path comes back absolute.

    Raises:
        LedgerUnusable: It is no URL of a SQLite file or a PostgreSQL database. The text, which
            may hold a password, is not repeated.
    """
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (exc.ArgumentError, ValueError):
        raise LedgerUnusable("the ledger's address is not a database URL", hint=_URL_HINT) from None
    if backend == "postgresql":
        return normal_url(url)
    if backend != "sqlite":
        raise LedgerUnusable("the ledger's address is neither of SQLite nor of PostgreSQL", hint=_URL_HINT)
    if url.database in (None, "", ":memory:"):
        raise LedgerUnusable("a ledger in memory would forget what was paid for", hint=_URL_HINT)
    if url.query or str(url.database).startswith("file:"):
        raise LedgerUnusable("a SQLite ledger's URL takes no options", hint=_URL_HINT)
    # Connections are opened later and from other threads: the working folder may have changed by then.
    # SQLAlchemy reads %-escapes in a path only from 2.1 on; decoding them ourselves suits both.
    path = unquote(text.partition(":///")[2], errors="surrogateescape")
    return URL.create("sqlite", database=str(Path(path).absolute()))


def sqlite_url(path: Path) -> str:
    """The ledger URL of a SQLite file, whatever characters its path has."""
    return "sqlite:///" + quote(str(path.absolute()), errors="surrogateescape")


class Database:
    """One database, safe to share by threads; every transaction is short.

    Attributes:
        where: What to call it in messages: a path, or an address without user, password and options.
    """

    def __init__(self, url: URL) -> None:
        self._first: Callable[[], None] | None = None
        self._first_lock = threading.Lock()
        self._is_closed = False
        self._turn: AbstractContextManager[Any] = nullcontext()
        self._is_sqlite = url.get_backend_name() == "sqlite"
        if self._is_sqlite:
            self.where = printable(str(url.database))
            self._engine = _sqlite_engine(url)
            # Threads queue here, where they wake at once; SQLite's own waiting sleeps and is not fair.
            self._turn = threading.Lock()
            self._reader = self._engine.execution_options()
            self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        else:
            self.where = bare_address(url)
            self._engine = postgresql_engine(url)
            self._writer = self._engine.execution_options()
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")

    def look(self, step: Callable[[Connection], T]) -> T:
        """Run ``step`` in a transaction of :meth:`read`, again while the database is out of reach."""
        for attempt in self._patiently():
            with attempt:
                self._see_to_first()
                with self.read() as connection:
                    return step(connection)
        raise AssertionError("the last attempt raises")

    def change(self, step: Callable[[Connection], T], confirm: Callable[[Connection], T | None] | None = None) -> T:
        """Run ``step`` in a transaction of :meth:`write`, again while the database is out of reach.

        A connection that is lost while we wait for the answer to COMMIT leaves open whether the
        step was done. Steps whose repetition does the same again need no more. Others come with
        ``confirm``, which is then asked first for what the step would have returned; None says
        that it was not done.
        """
        perhaps_done = False
        for attempt in self._patiently():
            with attempt:
                self._see_to_first()
                with self.write() as connection:
                    done = confirm(connection) if confirm is not None and perhaps_done else None
                    result = step(connection) if done is None else done
                    perhaps_done = True
                    return result
        raise AssertionError("the last attempt raises")

    def do_first(self, step: Callable[[], None]) -> None:
        """Have ``step`` done before anything else that :meth:`look` or :meth:`change` does, once it succeeds."""
        self._first = step

    def _see_to_first(self) -> None:
        if self._first is None:
            return
        with self._first_lock:
            if self._first is not None:  # else another thread has done it meanwhile
                self._first()
                self._first = None

    def _patiently(self) -> Iterable[stamina.Attempt]:
        def is_passing(error: Exception) -> bool:
            # Whoever closes the ledger does not wait for a server that may never come.
            return isinstance(error, LedgerUnavailable) and not self._is_closed

        return stamina.retry_context(
            on=is_passing, attempts=None, timeout=PATIENCE_S, wait_initial=0.1, wait_max=5.0, wait_jitter=0.5
        )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction for reading, which sees one state of the database from beginning to end."""
        with self._in_our_words(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits at the end, or leaves no trace if anything is raised.

        On SQLite it is the only writer from its first moment on, so that what it reads stays true.
        """
        with self._in_our_words(), self._turn, self._writer.begin() as connection:
            self._check_place(connection)
            yield connection
            self._check_place(connection)

    def _check_place(self, connection: Connection) -> None:
        """Tell when a SQLite file was removed or replaced: it stays open, and takes what nobody will ever read."""
        if not self._is_sqlite:
            return
        try:
            about = Path(str(self._engine.url.database)).stat()
        except OSError:
            place = None
        else:
            place = about.st_dev, about.st_ino
        if place is None or connection.info.setdefault("place", place) != place:
            raise LedgerUnusable(
                f"the ledger {self.where} was removed or replaced while it was in use",
                hint="put the file back, or run again: job ids that it cannot take are kept beside it",
            )

    def prepare(self) -> None:
        """See to what a database needs before it holds a ledger.

        Raises:
            LedgerUnusable: A PostgreSQL database cannot hold every text.
        """
        if self._is_sqlite:
            self._use_write_ahead_log()
            return
        with self.read() as connection:
            encoding = connection.scalar(select(func.current_setting("server_encoding")))
        if encoding != "UTF8":
            raise LedgerUnusable(
                f"the ledger {self.where} is a database in {encoding}, which cannot hold every file name",
                hint="create one with ENCODING 'UTF8' TEMPLATE template0",
            )

    def _use_write_ahead_log(self) -> None:
        """Let SQLite's readers and its writer not wait for each other; the file remembers it."""
        with self._in_our_words(), self._engine.connect().execution_options(begin="") as connection:
            if connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal":
                return
            try:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            except exc.OperationalError as error:
                # It does not wait for a writer as everything else does. That one most likely makes
                # the same change; if not, the ledger works as it is, and the next to open it tries again.
                if not _name(error.orig).startswith("SQLITE_BUSY"):
                    raise

    def compact(self) -> bool:
        """Write a SQLite file anew if a tenth of it is free; PostgreSQL uses free space again by itself.

        Raises:
            LedgerUnusable: Another process held it, or there is no room for the copy.
        """
        if not self._is_sqlite:
            return False
        with self._in_our_words(), self._turn, self._engine.connect().execution_options(begin="") as connection:
            free, pages = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("freelist_count", "page_count")
            )
            if free * 10 < pages:
                return False
            connection.exec_driver_sql("VACUUM")
        return True

    def close(self) -> None:
        """Close every connection, and try nothing again that fails now."""
        self._is_closed = True
        self._engine.dispose()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            told = self._told(error)
            if told is None:
                raise  # a mistake of ours, not a state of the database
            raise told from None
        except exc.TimeoutError:
            raise LedgerUnavailable(
                f"the ledger {self.where} has no free connection", hint="run fewer at once"
            ) from None

    def _told(self, error: exc.DBAPIError) -> LedgerUnusable | LedgerUnavailable | None:
        if not self._is_sqlite:
            return in_our_words(error, self.where)
        is_ours = isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError)
        return None if is_ours else self._unusable(error.orig)

    def _unusable(self, cause: BaseException | None) -> LedgerUnusable:
        name = _name(cause)
        hint = next((hint for start, hint in _HINTS.items() if name.startswith(start)), "")
        if name.startswith("SQLITE_BUSY"):
            return LedgerUnusable(
                f"the ledger {self.where} was held by another program for more than {BUSY_S:.0f} s", hint=hint
            )
        return LedgerUnusable(f"the ledger {self.where} cannot be used: {cause}", hint=hint)


def _name(cause: BaseException | None) -> str:
    """SQLite's own name of an error, "" if it has none."""
    return getattr(cause, "sqlite_errorname", "")


def is_any_of(column: Column[Any], values: Sequence[object]) -> ColumnElement[bool]:
    """Whether a column has one of the values, for a query that reads page after page by position.

    With an index of (column, position) one value comes in order from it. Of several, SQLite would
    read all there are and sort them, again for every page: the function hides the column from it.
    """
    if len(values) == 1:
        return column == values[0]
    return func.coalesce(column, column).in_(values)


def keep_others_out(connection: Connection, name: str) -> None:
    """Let nobody else who says the same name come past this until the transaction ends.

    On SQLite a writer is alone anyway.
    """
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(
            hashlib.sha256(f"reelroute {name}".encode(errors="surrogatepass")).digest()[:8], signed=True
        )
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def insert_new(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say ON CONFLICT, which both databases have but SQLAlchemy spells twice."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def settle(connection: Any, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        # FULL syncs the log at every commit: an intent to pay that a power cut rolls back would be
        # paid again. It costs a sync of the disk per move, which the request behind it outweighs by far.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # macOS only, where a plain sync stops at the disk's cache
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and asks for the write lock later fails when somebody wrote
        # in between, however long it waits. Writers therefore ask at once.
        statement = connection.get_execution_options().get("begin", "BEGIN")
        if statement:
            connection.exec_driver_sql(statement)

    return engine
