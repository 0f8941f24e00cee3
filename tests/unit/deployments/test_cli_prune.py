"""`reelroute prune`: what is said, what is removed, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.cli import main
from tasks import prune
from tasks.domain.errors import AccessDenied
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


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which nothing was ever run; the command line is called in this process."""
    for name in ("REELROUTE_HOME", "REELROUTE_LEDGER_URL", "REELROUTE_RESULTS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REELROUTE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["reelroute", "prune", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("age", ["90", "soon", "", "0d", "-1d", "12h", "1e9d"])
def test_an_age_that_is_none_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], age: str
) -> None:
    """Exit code 2, before anything is looked at."""
    assert 2 == called(monkeypatch, f"--older-than={age}", "--json")
    error = json.loads(capsys.readouterr().out)["error"]
    assert ("input_invalid", True) == (error["code"], "90d" in error["hint"])
    assert [] == list(here.iterdir())


def test_an_unknown_pipeline_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2; nobody takes it for all pipelines."""
    assert 2 == called(monkeypatch, "nowhere", "--json")
    assert "nowhere" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_where_nothing_was_run_there_is_nothing_to_remove(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 0, no folder is made, and a dry run says what would be kept as well."""
    assert 0 == called(monkeypatch, "--dry-run")
    told = capsys.readouterr()
    said = " ".join((told.out + told.err).split())
    assert "would be removed: 0 lines of the history" in said
    assert "kept: every job with what was paid for it, results of current versions" in said
    assert [] == list(here.iterdir())


def test_a_results_store_that_refuses_is_told_with_what_is_right(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, as of any service that refuses us; without a traceback."""
    home = here / "home"
    ledger = open_ledger(sqlite_url(home / "ledger.db"))
    whole(ledger, A, LONG_AGO)
    whole(ledger, B, LONG_AGO.replace(hour=13))
    ledger.close()

    class Stubborn:
        def delete(self, key: str) -> None:
            raise AccessDenied(f"{key}: may not be deleted", hint="s3:DeleteObject")

    monkeypatch.setattr(prune, "open_results", lambda _: Stubborn())
    assert 3 == called(monkeypatch, "--json")
    error = json.loads(capsys.readouterr().out)["error"]
    assert ("access_denied", "s3:DeleteObject") == (error["code"], error["hint"])
