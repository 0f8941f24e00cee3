"""`reelroute status` of a job that is at a service which says odd things about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments.cli.output import Printer
from deployments.cli.status import read, show, tell
from tasks.domain.job import JobState
from tasks.ledger.database import sqlite_url
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_samples import FAILURE, PIPELINE, add, drive, planned, video


def test_the_last_words_about_a_job_in_flight_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people and machines, in the list and in the story; not as a failure, and not of a job that is well."""
    ledger = open_ledger(sqlite_url(tmp_path / "ledger.db"))
    odd, well = add(ledger), add(ledger, planned(video(1)))
    drive(ledger, odd, JobState.SUBMITTED)
    drive(ledger, well, JobState.SUBMITTED)
    ledger.note(odd, "me", FAILURE)

    standing = read(ledger, PIPELINE)
    assert [FAILURE.message, None] == [job["said"] and job["said"]["message"] for job in standing["in_flight"]]
    assert [] == standing["failures"]
    show(standing | {"budget": None}, Printer(as_json=False))
    assert 1 == capsys.readouterr().out.count(f"last said of it: {FAILURE.code}: {FAILURE.message}")

    tell(ledger, video().uri, Printer(as_json=True))
    out, err = capsys.readouterr()
    assert FAILURE.message == json.loads(out)["jobs"][0]["failure"]["message"]
    assert f"{FAILURE.code}: {FAILURE.message}" in err
    ledger.close()
