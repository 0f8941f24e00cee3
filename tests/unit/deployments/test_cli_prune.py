"""`reelroute prune`: what is said, what is removed, and what is refused."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.domain.upload import UploadEvent
from tasks.ledger.database import sqlite_url
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_upkeep import A, B, whole
from tests.flows.conftest import Yard

LONG_AGO = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    (tmp_path / "videos").mkdir()
    return Yard(tmp_path)


def test_what_is_over_for_long_is_removed_after_a_look(yard: Yard) -> None:
    """A dry run counts, and removes nothing; then the same is removed; then there is nothing left to remove."""
    home = yard.folder / "home"
    ledger = open_ledger(sqlite_url(home / "ledger.db"))
    whole(ledger, A, LONG_AGO)
    result = whole(ledger, B, LONG_AGO.replace(hour=13))
    ledger.put_uploads([("yard", UploadEvent(scheme="s3", container="c", key="a.mp4", version="1"))], LONG_AGO)
    told = sum(len(ledger.story(job[0])) - 1 for job in (A, B))
    ledger.close()
    for path in ("results/" + A[0], "results/" + result.result_key, "reports/20260301T120000-yard-0123abcd.md"):
        (home / path).parent.mkdir(exist_ok=True)
        (home / path).write_text("x")
        os.utime(home / path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    expected = {"history": told, "results": 1, "reports": 1, "uploads": 0, "shards": 0, "logs": 0, "work": 0}

    look = yard.reelroute("prune", "--dry-run", "--json")
    assert (0, expected) == (look.code, {name: look.json[name] for name in expected}), look.stderr
    assert (home / "results" / A[0]).exists()

    done = yard.reelroute("prune", "--json")
    assert expected == {name: done.json[name] for name in expected}
    assert {home / "results" / result.result_key} == {path for path in (home / "results").rglob("*") if path.is_file()}
    assert [] == list((home / "reports").iterdir())
    assert "kept: every job" in done.stderr

    again = yard.reelroute("prune")
    assert 0 == again.code
    assert "0  stored results of replaced versions" in again.stdout
    counted = yard.reelroute("status", "--json").json
    assert (2, 1) == (counted["jobs"]["succeeded"] + counted["replaced"], counted["replaced"])
    assert {"yard": {"waiting": 1, "taken": 0}} == counted["inbox"]["uploads"]


def test_an_age_that_is_none_is_refused(yard: Yard) -> None:
    """Exit code 2, before anything is looked at."""
    ended = yard.reelroute("prune", "--older-than", "90", "--json")
    assert (2, "input_invalid") == (ended.code, ended.json["error"]["code"])
    assert "90d" in ended.json["error"]["hint"]
