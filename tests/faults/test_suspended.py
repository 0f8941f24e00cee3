"""A run that is suspended for longer than its lease, while another takes over: paid once, or told as unknown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.domain.job import JobState
from tasks.ledger.database import sqlite_url
from tasks.ledger.open import open_ledger
from tests.faults.scene import opened, scripted
from tests.scripted_service import KEY, ScriptedService

ROOT = Path(__file__).parents[2]
LEASE_S = 3
PIPELINE = """
name: yard
sources: [{{uri: "{videos}"}}]
inference: {{backend: local, model: players-x1/1, fps: 5, poll_interval: 0.2s, deadline: 1h}}
routes:
  - {{to: results, uri: "{out}"}}
"""


@dataclass
class Yard:
    """One video, a service that counts, and processes that run the pipeline.

    Attributes:
        folder: Home, video, pipeline.
        ledger_url: Their ledger.
    """

    folder: Path
    service: ScriptedService
    ledger_url: str

    @contextmanager
    def running(self, stopped_at: str = "") -> Iterator[subprocess.Popen[str]]:
        """A run; with a place, one that stops itself there as SIGSTOP from outside would."""
        command = [sys.executable, "-m", "tests.yard_process", "run", str(self.folder / "yard.yaml")]
        environment = {
            **os.environ,
            "REELROUTE_HOME": str(self.folder / "home"),
            "REELROUTE_LEDGER_URL": self.ledger_url,
            "ROBOFLOW_API_URL": self.service.base_url,
            "ROBOFLOW_API_KEY": KEY,
        }
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*command, str(LEASE_S), stopped_at],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        ) as child:
            try:
                assert child.stdin is not None
                child.stdin.write("\n")
                child.stdin.flush()
                yield child
            finally:
                child.kill()

    def wait_for_the_lease(self) -> None:
        """Return when the lease of the stopped process has passed."""
        with opened(self.ledger_url) as ledger:
            (job,) = ledger.jobs()
            assert job.lease_until is not None
            while datetime.now(UTC) <= job.lease_until + timedelta(milliseconds=50):
                time.sleep(0.05)


@pytest.fixture
def yard(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> Iterator[Yard]:
    """A yard with an empty ledger of either kind."""
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "b.mp4").write_bytes(b"x")
    (tmp_path / "yard.yaml").write_text(PIPELINE.format(videos=tmp_path / "videos", out=tmp_path / "out"))
    with scripted() as service:
        if database == "sqlite":
            open_ledger(sqlite_url(tmp_path / "ledger.db")).close()
            yield Yard(tmp_path, service, sqlite_url(tmp_path / "ledger.db"))
            return
        server = request.getfixturevalue("postgres")
        with server.database() as name:
            yield Yard(tmp_path, service, server.url(name))


def ended(child: subprocess.Popen[str]) -> tuple[str, str, int]:
    """What a process printed, in the end."""
    out, err = child.communicate(timeout=200)
    return out, err, child.returncode


# Where it is suspended -> whether the service has the job by then, and the job's story.
PLACES = {
    "after the intent": (0, "planned submitting unknown planned submitting submitted succeeded"),
    "before the request": (0, "planned submitting unknown planned submitting submitted succeeded"),
    "after the answer": (1, "planned submitting unknown submitted succeeded"),
}


# Each place once wherever the tests run; `make bench-faults` tries everything.
USUAL = {("after the intent", "postgresql"), ("before the request", "sqlite"), ("after the answer", "sqlite")}
CASES = [
    pytest.param(place, database, marks=[] if (place, database) in USUAL else pytest.mark.bench)
    for place in PLACES
    for database in ("sqlite", "postgresql")
]


@pytest.mark.parametrize(("place", "database"), CASES)
def test_a_suspended_run_and_the_one_that_took_over_pay_once(yard: Yard, place: str) -> None:
    """The second finds an answer that never came, and says so; the first wakes up: nothing lost, nothing paid twice."""
    taken, story = PLACES[place]
    with yard.running(stopped_at=place) as first:
        _, status = os.waitpid(first.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), first.communicate()
        assert taken == len(yard.service.jobs)
        yard.wait_for_the_lease()
        with yard.running() as second:
            assert ("ready\n0\n", "", 0) == ended(second)
        with opened(yard.ledger_url) as ledger:
            assert [JobState.UNKNOWN] == [job.state for job in ledger.jobs()]
        first.send_signal(signal.SIGCONT)
        _, complaints, code = ended(first)

    assert 0 == code, complaints
    assert 1 == len(yard.service.jobs)
    with opened(yard.ledger_url) as ledger:
        (job,) = ledger.jobs()
        assert story == " ".join(move.state for move in ledger.story(job.key) if move.subject == "job")
        assert "job-1" == job.job_id
