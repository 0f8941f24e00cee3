"""PostgreSQL under the ledger: its address, its connections, and its errors in our words.

SQLAlchemy speaks to it through psycopg. No table is known here.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, exc

from tasks.domain.errors import LedgerUnavailable, LedgerUnusable

DRIVER = "postgresql+psycopg"
# Transactions last milliseconds, and more of them at once only wait for each other.
CONNECTIONS = 5
# Longest wait for a connection of ours, a lock or a statement; whoever holds one that long hangs.
WAIT_S = 30

# A server that vanished is noticed within a minute instead of the system's two hours.
_CONNECT = {
    "application_name": "reelroute",
    "client_encoding": "utf8",
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 50_000,
    # Poolers in front of a server may give each transaction another connection, without its statements.
    "prepare_threshold": None,
}
# An intent to pay that a power cut rolls back would be paid again: a commit waits for the disk.
_SETTLE = f"""
    SELECT set_config('statement_timeout', '{WAIT_S}s', false),
           set_config('lock_timeout', '{WAIT_S}s', false),
           set_config('idle_in_transaction_session_timeout', '{WAIT_S}s', false),
           set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false)
"""

# SQLSTATE, or the start of one -> what may pass by itself, as people call it.
_PASSING = {
    "08": "the connection was lost",
    "25006": "it takes no changes now",
    "25P03": "it dropped a transaction that paused",
    "40": "others got in the way",
    "53300": "it has no free connection",
    "55P03": f"a row was locked for more than {WAIT_S} s",
    "57014": f"a statement took more than {WAIT_S} s",
    "57P": "it is going down or coming up",
}
_HINTS = {
    "25006": "point REELROUTE_LEDGER_URL at the primary: this server is a replica, or set to read-only",
    "3F000": "create the schema that search_path names, or take it out of REELROUTE_LEDGER_URL",
    "42501": "let the ledger's user create tables there: best give it a database of its own",
    "53100": "free space on the server's disk and run again: nothing that was recorded is lost",
    "53300": "raise max_connections, or run fewer at once",
    "57014": "look for what holds a transaction open on it (pg_stat_activity)",
    "55P03": "look for what holds a transaction open on it (pg_stat_activity)",
}
# A server that turns a client away says so with FATAL; these say "not now".
_NOT_NOW = re.compile(r"starting up|shutting down|recovery mode|not yet accepting|too many clients|connection slots")


def normal_url(url: URL) -> URL:
    """The URL with the driver that we use.

    Raises:
        LedgerUnusable: It names another driver, or no host or no database. Nothing of it is repeated
            that could be part of a password.
    """
    hint = "write postgresql://user:password@host/database, with %40 for an @ in the password"
    if url.drivername not in ("postgresql", DRIVER):
        raise LedgerUnusable("the ledger's address names a driver other than psycopg", hint=hint)
    if "@" in (url.host or "") or not (url.host or url.query.get("host")) or not url.database:
        raise LedgerUnusable("the ledger's address names no host or no database", hint=hint)
    return url.set(drivername=DRIVER)


def bare_address(url: URL) -> str:
    """Host, port and database; user, password and options, which can hold one too, are gone."""
    return URL.create("postgresql", host=url.host, port=url.port, database=url.database).render_as_string()


def postgresql_engine(url: URL) -> Engine:
    """Connections to the database, made when they are needed."""
    engine = create_engine(
        url,
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=WAIT_S,
        connect_args={name: value for name, value in _CONNECT.items() if name not in url.query},
    )

    @event.listens_for(engine, "connect")
    def settle(connection: Any, _: object) -> None:
        connection.execute(_SETTLE)
        connection.commit()

    return engine


def in_our_words(error: exc.DBAPIError, where: str) -> LedgerUnusable | LedgerUnavailable | None:
    """What an error means; None if it is a mistake of ours rather than a state of the database."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    hint = _HINTS.get(state, "")
    passing = next((what for start, what in _PASSING.items() if state.startswith(start)), "")
    if passing:
        return LedgerUnavailable(f"the ledger {where} cannot be used now: {passing}", hint=hint)
    if error.connection_invalidated:
        return LedgerUnavailable(f"the ledger {where} dropped the connection")
    said = str(error.orig).strip()
    if error.statement is None and not state:
        return _unreachable(" ".join(said.split()), where)
    if not hint and isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
        return None
    # The first line only: PostgreSQL goes on with the statement and its values.
    return LedgerUnusable(f"the ledger {where} cannot be used: {said.partition(chr(10))[0]}", hint=hint)


def _unreachable(said: str, where: str) -> LedgerUnusable | LedgerUnavailable:
    """No connection could be made: refused for good, or not to be had now."""
    if ("FATAL" in said and not _NOT_NOW.search(said)) or "invalid" in said:
        hint = "check user, password and database in REELROUTE_LEDGER_URL"
        return LedgerUnusable(f"the ledger {where} does not let us in: {said}", hint=hint)
    return LedgerUnavailable(f"the ledger {where} cannot be reached: {said}")
