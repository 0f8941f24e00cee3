"""Several runs and a collector on one pipeline at once: real processes, a real ledger, a service that counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasks.domain.job import JobState
from tasks.ledger.database import sqlite_url
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_races import assert_consistent
from tests.rig import results
from tests.scripted_service import KEY, ScriptedService

ROOT = Path(__file__).parents[3]
VIDEOS = 60
LIMIT = 20
POLLS = 2

PIPELINE = """
name: yard
sources: [{{uri: "{videos}"}}]
inference: {{backend: local, model: players-x1/1, fps: 5, poll_interval: 0.3s, deadline: 1h, max_in_flight: {limit}}}
routes:
  - {{to: results, uri: "{out}"}}
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty ledger of either kind."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "ledger.db")
        return
    server = request.getfixturevalue("postgres")
    with server.database() as name:
        yield server.url(name)


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    """A service whose jobs take a moment."""
    with ScriptedService() as scripted:
        scripted.polls = POLLS
        scripted.results = json.dumps(results(key="players-x1")).encode()
        yield scripted


@pytest.fixture
def pipeline(tmp_path: Path) -> str:
    """A pipeline over so many videos."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(VIDEOS):
        (videos / f"{number:03}.mp4").write_bytes(b"x")
    path = tmp_path / "yard.yaml"
    path.write_text(PIPELINE.format(videos=videos, out=tmp_path / "out", limit=LIMIT))
    return str(path)


def most_open(service: ScriptedService) -> int:
    """How many jobs the service had open at once, at most, by the order of what it was asked."""
    now = most = 0
    checks: Counter[str] = Counter()
    for asked in service.asked:
        if asked.call == "submit":
            now += 1
        elif asked.call == "check":
            checks[asked.query["job_id"]] += 1
            now -= checks[asked.query["job_id"]] == POLLS + 1  # this answer says that it is done
        most = max(most, now)
    return most


def run_together(pipeline: str, environment: dict[str, str], *modes: str) -> list[tuple[str, str, int]]:
    """Processes that start at one moment; what each printed, complained about and returned."""
    command = [sys.executable, "-m", "tests.yard_process"]
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        children = []
        for mode in modes:
            child = subprocess.Popen(
                [*command, mode, pipeline], cwd=ROOT, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe
            )
            children.append(stack.enter_context(child))
            stack.callback(child.kill)
        for child in children:
            assert child.stdout is not None
            assert "ready\n" == child.stdout.readline()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        return [(*child.communicate(timeout=200), child.returncode) for child in children]


def test_three_runs_and_a_collector_share_a_pipeline(
    pipeline: str, service: ScriptedService, ledger_url: str, tmp_path: Path
) -> None:
    """Each video is submitted once, never more than the limit are open, all succeed, and nobody complains."""
    environment = {
        **os.environ,
        "REELROUTE_HOME": str(tmp_path / "home"),
        "REELROUTE_LEDGER_URL": ledger_url,
        "ROBOFLOW_API_URL": service.base_url,
        "ROBOFLOW_API_KEY": KEY,
    }

    ended = run_together(pipeline, environment, "run", "run", "run", "collect")

    assert [("", 0)] * 4 == [(complaints, code) for _, complaints, code in ended]
    submitted = [int(printed) for printed, _, _ in ended]
    assert (VIDEOS, VIDEOS) == (sum(submitted), len(service.jobs))
    assert 0 == submitted[3]
    print(f"most open at the service: {most_open(service)} of {LIMIT}")
    assert LIMIT // 2 < most_open(service) <= LIMIT
    ledger = open_ledger(ledger_url)
    counts, _ = ledger.counts()
    assert VIDEOS == counts[JobState.SUCCEEDED]
    assert [1] * VIDEOS == [job.attempts for job in ledger.jobs()]
    assert set() == ledger.owners()
    assert_consistent(ledger)
    ledger.close()
