"""PostgreSQL as people meet it: down, restarted, locked, full of rules, somebody else's."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from traceback import format_exception

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from tasks.domain.errors import LedgerMissing, LedgerUnavailable, LedgerUnusable, ReelrouteError
from tasks.ledger import database
from tasks.ledger.database import Database, parse_url
from tasks.ledger.open import open_ledger
from tasks.ledger.postgresql import CONNECTIONS
from tasks.ledger.schema import REVISION_TABLE
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, add, found, many, planned, video
from tests.postgres import PASSWORD, PostgresServer, free_port

WRONG = "an0ther-MARKED"


@pytest.fixture
def name(postgres: PostgresServer) -> Iterator[str]:
    """An empty database."""
    with postgres.database() as fresh:
        yield fresh


@pytest.fixture(autouse=True)
def _a_little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stays out of reach is given up soon, unless a test says otherwise."""
    monkeypatch.setattr(database, "PATIENCE_S", 0.3)


def refused(url: str, *, create: bool = True) -> ReelrouteError:
    """The error that opening ends in, which says where and what to do, and never the password."""
    with pytest.raises(LedgerUnusable) if create else pytest.raises(LedgerMissing) as caught:
        open_ledger(url, create=create)
    return told(caught.value)


def told(error: ReelrouteError) -> ReelrouteError:
    """The error, once it is certain that it can be shown."""
    assert "postgresql://127.0.0.1:" in error.message
    assert error.hint
    assert PASSWORD not in "".join(format_exception(error)) + error.hint
    return error


class TestOpening:
    """What cannot be opened says why."""

    def test_a_server_that_is_not_there(self) -> None:
        """Exit code 3, and the address; a scheduler may try again."""
        port = free_port()
        with pytest.raises(LedgerUnavailable, match=f"127.0.0.1:{port}/db cannot be reached") as caught:
            open_ledger(f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/db")
        assert 3 == told(caught.value).exit_code

    def test_a_wrong_password(self, postgres: PostgresServer, name: str) -> None:
        """Exit code 2; neither the right nor the wrong one is shown."""
        with pytest.raises(LedgerUnusable, match="password authentication failed") as caught:
            open_ledger(postgres.url(name, password=WRONG))
        assert 2 == caught.value.exit_code
        shown = "".join(format_exception(caught.value))
        assert not [secret for secret in (PASSWORD, WRONG) if secret in shown]

    def test_a_database_that_does_not_exist(self, postgres: PostgresServer) -> None:
        """It is named."""
        assert '"nowhere" does not exist' in refused(postgres.url("nowhere")).message

    def test_an_option_that_libpq_does_not_know(self, postgres: PostgresServer, name: str) -> None:
        """It is named, its value is not."""
        assert "passwrd" in refused(postgres.url(name) + f"?passwrd={PASSWORD}").message

    def test_a_database_that_cannot_hold_every_name(self, postgres: PostgresServer) -> None:
        """A video's name must not decide whether it can be recorded."""
        with postgres.database("ENCODING 'LATIN1' TEMPLATE template0") as latin:
            error = refused(postgres.url(latin))
        assert "LATIN1" in error.message
        assert "ENCODING 'UTF8'" in error.hint

    def test_a_user_who_may_not_make_tables(self, postgres: PostgresServer, name: str) -> None:
        """PostgreSQL's default since version 15."""
        postgres.sql(f"CREATE ROLE guest_{name} LOGIN PASSWORD '{PASSWORD}'")
        error = refused(postgres.url(name, user=f"guest_{name}"))
        assert "permission denied for schema public" in error.message
        assert "database of its own" in error.hint

    def test_another_program_s_database(self, postgres: PostgresServer, name: str) -> None:
        """It is left as it is."""
        postgres.sql("CREATE TABLE alembic_version (version_num TEXT)", name)
        assert "holds other tables" in refused(postgres.url(name)).message
        tables = postgres.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name)
        assert [("alembic_version",)] == tables

    def test_a_schema_of_its_own_in_another_program_s_database(self, postgres: PostgresServer, name: str) -> None:
        """`search_path` in the URL puts the ledger beside other tables."""
        postgres.sql("CREATE SCHEMA reelroute; CREATE TABLE public.theirs (id INT)", name)
        with closing(open_ledger(postgres.url(name) + "?options=-csearch_path%3Dreelroute")) as ledger:
            add(ledger)
        assert [(1,)] == postgres.sql("SELECT count(*) FROM reelroute.jobs", name)

    def test_nothing_is_made_unless_it_is_asked_for(self, postgres: PostgresServer, name: str) -> None:
        """An empty database is no ledger yet."""
        with pytest.raises(LedgerMissing, match="is empty"):
            open_ledger(postgres.url(name), create=False)
        assert [(0,)] == postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name)

    def test_a_newer_ledger_is_refused(self, postgres: PostgresServer, name: str) -> None:
        """The hint says to upgrade."""
        open_ledger(postgres.url(name)).close()
        postgres.sql(f"UPDATE {REVISION_TABLE} SET version_num = '0999'", name)
        error = refused(postgres.url(name))
        assert "was written by a newer reelroute" in error.message
        assert "upgrade" in error.hint

    def test_many_that_open_an_empty_database_at_once_make_the_tables_once(
        self, postgres: PostgresServer, name: str
    ) -> None:
        """One migrates, the others wait for it, and none complains."""
        with ThreadPoolExecutor(6) as pool:
            opened = list(pool.map(open_ledger, [postgres.url(name)] * 6))
        assert 1 == opened[0].plan(PIPELINE, many(1), NOW)
        for ledger in opened:
            assert 1 == len(list(ledger.jobs()))
            ledger.close()


class TestWorking:
    """What happens to a ledger that is open."""

    def test_a_restart_of_the_server_is_waited_out(
        self, postgres: PostgresServer, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Connections that broke are made anew, and what was recorded is there."""
        monkeypatch.setattr(database, "PATIENCE_S", 60.0)
        with closing(open_ledger(postgres.url(name))) as ledger:
            key = add(ledger)
            for how in (signal.SIGINT, signal.SIGQUIT):
                postgres.stop(how)
                starting = threading.Thread(target=postgres.start)
                starting.start()
                assert ledger.claim(key, how.name, LEASE, NOW) is not None
                starting.join()
                assert how.name == found(ledger, key).lease_owner
                ledger.release(key, how.name)

    def test_a_server_that_stays_away_is_given_up(self, postgres: PostgresServer, name: str) -> None:
        """As something that may pass; afterwards the same ledger works on."""
        with closing(open_ledger(postgres.url(name))) as ledger:
            key = add(ledger)
            postgres.stop()
            try:
                with pytest.raises(LedgerUnavailable) as caught:
                    ledger.claim(key, "me", LEASE, NOW)
            finally:
                postgres.start()
            told(caught.value)
            assert ledger.claim(key, "me", LEASE, NOW) is not None

    def test_an_administrator_who_ends_our_session_is_not_noticed(self, postgres: PostgresServer, name: str) -> None:
        """Reading and writing go on over a new connection."""
        with closing(open_ledger(postgres.url(name))) as ledger:
            key = add(ledger)
            uses: list[Callable[[], object]] = [lambda: ledger.job(key), lambda: ledger.claim(key, "me", LEASE, NOW)]
            for use in uses:
                ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'reelroute'"
                assert [(True,)] == postgres.sql(f"{ended} AND datname = '{name}'")
                assert use() is not None

    def test_a_row_that_somebody_keeps_locked_is_not_waited_for_for_ever(
        self, postgres: PostgresServer, name: str
    ) -> None:
        """The hint says where to look for who holds it."""
        url = postgres.url(name)
        with closing(open_ledger(url)) as ledger, psycopg.connect(url) as holder:
            key = add(ledger)
            holder.execute("SELECT * FROM jobs FOR UPDATE")
            hurry(ledger)
            with pytest.raises(LedgerUnavailable, match="locked for more than") as caught:
                ledger.claim(key, "me", LEASE, NOW)
            holder.rollback()
            assert "pg_stat_activity" in told(caught.value).hint
            assert ledger.claim(key, "me", LEASE, NOW) is not None

    def test_a_server_that_takes_no_changes_is_named(self, postgres: PostgresServer, name: str) -> None:
        """After a failover the old primary only reads: what was to be recorded is not lost silently."""
        with closing(open_ledger(postgres.url(name))) as ledger:
            key = add(ledger)
        postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(LedgerUnavailable, match="takes no changes") as caught:
            open_ledger(postgres.url(name))
        assert "primary" in told(caught.value).hint
        assert 32 == len(key)

    def test_a_mistake_of_ours_is_not_the_ledger_s(self, postgres: PostgresServer, name: str) -> None:
        """A bug surfaces as a bug, without the values."""
        with closing(open_ledger(postgres.url(name))) as ledger:
            add(ledger)
        opened = Database(parse_url(postgres.url(name)))
        with pytest.raises(IntegrityError, match="pipeline_jobs"), opened.write() as connection:
            connection.exec_driver_sql("INSERT INTO pipeline_jobs SELECT * FROM pipeline_jobs")
        opened.close()

    def test_a_reader_sees_one_state(self, postgres: PostgresServer, name: str) -> None:
        """Two statements of one look agree, whatever others write in between."""
        with closing(open_ledger(postgres.url(name))) as ledger:
            add(ledger)
            opened = Database(parse_url(postgres.url(name)))
            with opened.read() as connection:
                counted = [connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar()]
                ledger.plan(PIPELINE, many(5), NOW)
                counted.append(connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar())
            assert [1, 1] == counted
            opened.close()

    def test_commits_reach_the_disk_whatever_the_server_s_default(self, postgres: PostgresServer, name: str) -> None:
        """An intent to pay must survive a power cut; stronger settings stay."""
        for default, ours in (("off", "on"), ("remote_apply", "remote_apply")):
            postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = {default}")
            opened = Database(parse_url(postgres.url(name)))
            with opened.read() as connection:
                assert ours == connection.exec_driver_sql("SHOW synchronous_commit").scalar()
            opened.close()

    def test_few_connections_are_held(self, postgres: PostgresServer, name: str) -> None:
        """Forty threads share what a small server can spare."""
        with closing(open_ledger(postgres.url(name))) as ledger:
            ledger.plan(PIPELINE, many(40), NOW)
            keys = [key for key, _, _ in many(40)]
            with ThreadPoolExecutor(40) as pool:
                assert 40 == len(list(pool.map(lambda key: ledger.claim(key, "me", LEASE, NOW), keys)))
            held = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reelroute'"
            ((connections,),) = postgres.sql(f"{held} AND datname = '{name}'")
        assert 1 <= connections <= CONNECTIONS

    def test_listings_in_different_orders_do_not_wait_in_a_circle(self, postgres: PostgresServer, name: str) -> None:
        """Two pipelines over the same new videos, one from the last to the first."""
        before = deadlocks(postgres, name)
        with closing(open_ledger(postgres.url(name))) as ledger:
            for version in ("v1", "v2", "v3"):
                jobs = [planned(video(number, version=version)) for number in range(400)]
                orders = [jobs, jobs[::-1]] * 2
                with ThreadPoolExecutor(4) as pool:
                    new = pool.map(ledger.plan, ("one", "one", "two", "three"), orders, [NOW] * 4)
                    assert 400 == sum(new)
        assert before == deadlocks(postgres, name)


def hurry(ledger: object) -> None:
    """Let the sessions that are open wait for locks no longer than a moment."""
    with ledger._database.write() as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("SET lock_timeout = '50ms'")


def deadlocks(postgres: PostgresServer, name: str) -> int:
    """How many the server had to break, once its counters have settled."""
    time.sleep(1.2)
    ((number,),) = postgres.sql(f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{name}'")
    return int(number)
