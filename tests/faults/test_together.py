"""Runs and a collector started together on one pipeline: nobody pays twice, waits in a circle or complains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.domain.job import JobState
from tests.contracts.ledger_races import assert_consistent
from tests.faults.nursery import Nursery
from tests.faults.scene import Scene, film, opened, scripted, submissions

pytestmark = pytest.mark.engine

FULL = [pytest.mark.bench, pytest.mark.timeout(900)]
COMPLAINTS = ("database is locked", "deadlock", "Traceback", "LedgerUnusable", "LedgerUnavailable")


@pytest.fixture
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty ledger of the kind that the test asks for."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/home/ledger.db"
        return
    server = request.getfixturevalue("postgres")
    with server.database() as name:
        yield server.url(name)


@pytest.mark.parametrize(
    ("ledger_url", "videos", "limit", "commands"),
    [
        pytest.param("sqlite", 16, 5, ("run", "run", "collect")),
        pytest.param("sqlite", 90, 20, ("run", "run", "run", "collect"), marks=FULL),
        pytest.param("postgresql", 90, 20, ("run", "run", "run", "collect"), marks=FULL),
    ],
    indirect=["ledger_url"],
)
def test_runs_and_a_collector_together(
    ledger_url: str,
    videos: int,
    limit: int,
    commands: tuple[str, ...],
    tmp_path: Path,
    prefect_server: str,
    newborn: Nursery,
) -> None:
    """One submission per video, all delivered, never more open than `max_in_flight`, and not a word of locks."""
    environment = {"PREFECT_API_URL": prefect_server, "REELROUTE_LEDGER_URL": ledger_url}
    footage = film(tmp_path / "videos", [f"{number:02}.mp4" for number in range(videos)])
    with scripted() as service:
        scene = Scene(tmp_path, environment, footage, service)
        pipeline = scene.write_pipeline(limit=limit, interval="1s")
        # Some jobs are at the service already, for all of them to fight over.
        left = scene.born(newborn, "run", pipeline, "--limit", str(limit // 2), "--no-wait", "--json")
        assert (0, limit // 2) == (left.code, left.json["submitted"]), left.stderr

        service.polls = 2
        ended = scene.born_together(newborn, *((command, pipeline, "--json") for command in commands))

        assert [0] * len(commands) == [one.code for one in ended], [one.stderr for one in ended]
        submitted = [one.json["submitted"] for one in ended]
        states = Counter(scene.states().values())
        print(
            f"\n{ledger_url.partition(':')[0]}, {', '.join(commands)}: submitted {submitted} of {videos}, "
            f"{len(service.jobs)} jobs at the service, most open {service.most_open} of {limit}, {dict(states)}, "
            f"{[one.json['seconds'] for one in ended]} s"
        )
        assert [] == [word for word in COMPLAINTS for one in ended if word in one.stdout + one.stderr]
        assert {1} == set(submissions(service).values())
        assert (videos, 0) == (len(service.jobs), submitted[-1])
        assert limit == service.most_open
    assert {JobState.SUCCEEDED: videos} == states
    assert {"results", "lightly", "labelbox"} == set.intersection(*scene.delivered().values())
    with opened(ledger_url) as ledger:
        assert set() == ledger.owners()
        assert_consistent(ledger)
