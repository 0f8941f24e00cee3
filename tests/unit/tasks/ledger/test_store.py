"""How the SQL ledger reads: page by page, each at the cost of its own rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.base import Ledger
from tasks.ledger.database import Database, parse_url, sqlite_url
from tasks.ledger.open import open_ledger
from tasks.ledger.store import BATCH, SqlLedger
from tests.contracts.ledger_samples import NOW, PIPELINE, many, planned, video

Statement = tuple[str, Any]
Read = Callable[[Ledger], Iterator[object]]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A ledger's database with jobs and deliveries for two pages and a bit."""
    url = sqlite_url(tmp_path_factory.mktemp("ledger") / "ledger.db")
    ledger = open_ledger(url)
    ledger.plan(PIPELINE, many(2 * BATCH + 1), NOW)
    routes = {f"route-{number}": "a" for number in range(2 * BATCH + 1)}
    ledger.plan_deliveries(PIPELINE, planned()[0], routes, NOW)
    ledger.close()
    opened = Database(parse_url(url))
    yield opened
    opened.close()


def statements(database: Database, read: Read) -> list[Statement]:
    """The SELECTs that a whole stream takes."""
    seen: list[Statement] = []

    def note(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(database._engine, "before_cursor_execute", note)
    for _ in read(SqlLedger(database)):
        pass
    event.remove(database._engine, "before_cursor_execute", note)
    return seen


SOME = [JobState.PLANNED, JobState.FAILED]
OPEN = [DeliveryState.PENDING, DeliveryState.FAILED]
READS: dict[str, Read] = {
    "all jobs": lambda ledger: ledger.jobs(),
    "a pipeline's": lambda ledger: ledger.jobs(PIPELINE),
    "in one state": lambda ledger: ledger.jobs(states=SOME[:1]),
    "in some states": lambda ledger: ledger.jobs(states=SOME),
    "a pipeline's in one state": lambda ledger: ledger.jobs(PIPELINE, SOME[:1]),
    "a pipeline's in some states": lambda ledger: ledger.jobs(PIPELINE, SOME),
    "seen": lambda ledger: ledger.jobs(seen_since=NOW),
    "a pipeline's seen": lambda ledger: ledger.jobs(PIPELINE, SOME, seen_since=NOW),
    "all deliveries": lambda ledger: ledger.deliveries(),
    "a pipeline's deliveries": lambda ledger: ledger.deliveries(PIPELINE),
    "deliveries in one state": lambda ledger: ledger.deliveries(PIPELINE, OPEN[:1]),
    "deliveries in some states": lambda ledger: ledger.deliveries(PIPELINE, OPEN),
}


class TestPages:
    """Streams."""

    @pytest.mark.parametrize("name", READS)
    def test_a_page_costs_its_own_rows(self, database: Database, name: str) -> None:
        """No page reads and sorts all that follows: ten times the jobs take ten times the work, not a hundred."""
        pages = statements(database, READS[name])
        assert 3 == len(pages)
        with database.read() as connection:
            for statement, parameters in pages:
                steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                assert steps
                # The name of any pipeline is picked from a few, inside a page's row.
                own = [step.detail for step in steps if step.parent == 0]
                assert [] == [detail for detail in own if "TEMP B-TREE" in detail or detail.startswith("SCAN")]

    def test_one_job_in_a_rare_state_is_found_by_the_index(self, database: Database) -> None:
        """Polling a few open jobs does not read the thousands that are done."""
        ((statement, parameters),) = statements(database, lambda ledger: ledger.jobs(PIPELINE, [JobState.SUBMITTED]))
        with database.read() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        assert "jobs_by_state" in plan[0].detail

    @pytest.mark.parametrize("pipeline", [PIPELINE, None])
    def test_a_video_is_found_by_its_uri_in_the_index(self, database: Database, pipeline: str | None) -> None:
        """A delivery asks which version is current; it reads the video's own rows, however large the ledger is."""
        uri = video(7).uri
        assert [video(7)] == [job.video for job in SqlLedger(database).jobs(pipeline, uri=uri)]
        ((statement, parameters),) = statements(database, lambda ledger: ledger.jobs(pipeline, uri=uri))
        with database.read() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        assert "SEARCH videos USING INDEX videos_by_uri (uri_key=?)" == plan[0].detail
        assert [] == [step.detail for step in plan if step.detail.startswith("SCAN")]

    def test_who_holds_leases_is_found_by_the_index(self, database: Database) -> None:
        """Every run asks at its start; rows that nobody holds are not read."""
        ((statement, parameters),) = statements(database, lambda ledger: iter(ledger.owners()))
        with database.read() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        scanned = [step.detail for step in plan if step.detail.startswith("SCAN")]
        assert ["SCAN shards"] == scanned

    def test_nothing_is_read_before_it_is_asked_for(self, database: Database) -> None:
        """Asking for a stream is free, and one record costs one page."""
        ledger = SqlLedger(database)
        assert [] == statements(database, lambda _: iter([ledger.jobs(), ledger.deliveries()]))
        assert 1 == len(statements(database, lambda _: iter([next(ledger.jobs())])))


class TestPlanning:
    """Listings."""

    def test_what_is_known_is_not_written_again(self, database: Database) -> None:
        """A nightly listing notes in one statement per batch that it saw its videos."""
        written: list[str] = []

        def note(_: object, __: object, statement: str, *___: object) -> None:
            if not statement.startswith(("SELECT", "BEGIN")):
                written.append(statement.split(maxsplit=1)[0])

        event.listen(database._engine, "before_cursor_execute", note)
        ledger = SqlLedger(database)
        assert 0 == ledger.plan(PIPELINE, many(BATCH), NOW)
        assert ["UPDATE"] == written
        assert 1 == ledger.plan(PIPELINE, [planned(video(99_999))], NOW)
        assert ["UPDATE", *["INSERT"] * 4] == written


class TestUndelivered:
    """What routes lack."""

    def test_deliveries_of_each_job_are_found_by_its_key(self, database: Database) -> None:
        """Asking of a whole listing reads each job's own deliveries, not all there are for each."""
        asked: Read = lambda ledger: ledger.undelivered(PIPELINE, {"results": "a", "video": "b"}, seen_since=NOW)  # noqa: E731
        ((statement, parameters),) = statements(database, asked)
        with database.read() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        assert [] == [step.detail for step in plan if step.detail.startswith("SCAN") or "TEMP B-TREE" in step.detail]
        assert any("SEARCH deliveries" in step.detail and "job_key=?" in step.detail for step in plan)


class TestPruning:
    """What may be forgotten."""

    def test_other_versions_of_a_video_are_found_by_its_uri(self, database: Database) -> None:
        """Not among all jobs with results, again for each of them."""
        asked: Read = lambda ledger: iter(ledger.replaced_results(NOW))  # noqa: E731
        ((statement, parameters),) = statements(database, asked)
        with database.read() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        assert [] == [step.detail for step in plan if step.detail.startswith("SCAN")]
        assert "SEARCH its_video USING INDEX videos_by_uri (uri_key=?)" in [step.detail for step in plan]
        assert "SEARCH newer USING INDEX jobs_by_video (video_key=?)" in [step.detail for step in plan]
