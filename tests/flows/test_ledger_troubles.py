"""Ledgers by the command line: one that cannot be used is told before anything is paid, with a way out."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tasks.ledger.database import sqlite_url
from tasks.ledger.open import open_ledger
from tasks.ledger.schema import REVISION_TABLE
from tests.flows.conftest import Finished, Yard
from tests.postgres import PASSWORD, PostgresServer

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2


def home_of(yard: Yard) -> Path:
    """The state folder of the yard's commands, with an empty ledger in it."""
    home = yard.folder / "home"
    open_ledger(sqlite_url(home / "ledger.db")).close()
    return home


def bow_to_permissions() -> None:
    """Make root subject to file modes like everybody else, from the next program on."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            assert 0 == libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def reelroute(yard: Yard, *arguments: str) -> Finished:
    """Run a command that may not write where it must not."""
    done = subprocess.run(
        yard.command(*arguments),
        cwd=yard.folder,
        env=yard.env(),
        capture_output=True,
        text=True,
        timeout=280,
        preexec_fn=bow_to_permissions,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("command", ["run", "plan", "status"])
def test_a_ledger_of_a_newer_version_is_refused(yard: Yard, command: str) -> None:
    """Code, message and hint say what to do; the ledger is left as it was."""
    yard.clip("a.mp4")
    ledger = home_of(yard) / "ledger.db"
    with sqlite3.connect(ledger) as connection:
        connection.execute(f"UPDATE {REVISION_TABLE} SET version_num = '0999'")
    connection.close()
    before = ledger.read_bytes()

    ended = yard.reelroute(command, yard.pipeline(), "--json")

    assert (2, "ledger_unusable") == (ended.code, ended.json["error"]["code"]), ended.stderr
    assert "was written by a newer reelroute" in ended.json["error"]["message"]
    assert "upgrade" in ended.json["error"]["hint"]
    assert before == ledger.read_bytes()


@pytest.mark.parametrize("has_ledger", [True, False], ids=["with a ledger", "without a ledger"])
def test_a_state_folder_that_cannot_be_written_is_told(yard: Yard, has_ledger: bool) -> None:
    """Not after the first job was paid, but before; the hint names file and folder."""
    yard.clip("a.mp4")
    home = home_of(yard)
    if not has_ledger:
        (home / "ledger.db").unlink()
    for path in (*home.iterdir(), home):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        ended = reelroute(yard, "run", yard.pipeline(), "--json")
    finally:
        home.chmod(0o755)

    assert (2, "ledger_unusable") == (ended.code, ended.json["error"]["code"]), ended.stderr
    assert str(home) in ended.json["error"]["message"]
    assert "make the file and its folder" in ended.json["error"]["hint"]
    assert not (yard.out / "results").exists()


def test_a_database_out_of_reach_is_told_without_its_password(yard: Yard) -> None:
    """Exit code 3: the server may be back soon."""
    yard.clip("a.mp4")
    yard.environment["REELROUTE_LEDGER_URL"] = "postgresql://me:5ec7e7-MARKED@127.0.0.1:9/reelroute"

    ended = yard.reelroute("status", yard.pipeline(), "--json")

    assert (3, "ledger_unavailable") == (ended.code, ended.json["error"]["code"]), ended.stderr
    assert "postgresql://127.0.0.1:9/reelroute" in ended.json["error"]["message"]
    assert "5ec7e7" not in ended.stdout + ended.stderr


def test_a_ledger_in_postgresql_goes_the_whole_way(yard: Yard, postgres: PostgresServer) -> None:
    """Run, run again, look: as with a file, and the password is nowhere."""
    yard.clip("a.mp4")
    with postgres.database() as name:
        yard.environment["REELROUTE_LEDGER_URL"] = postgres.url(name)
        first = yard.reelroute("run", yard.pipeline(), "--json", "--verbose")
        second = yard.reelroute("run", yard.pipeline(), "--json")
        status = yard.reelroute("status", yard.pipeline(), "--json")

    assert (0, 1, 1) == (first.code, first.json["submitted"], first.json["delivered"]["results"]), first.stderr
    assert (0, 1, 0) == (second.code, second.json["skipped"], second.json["submitted"]), second.stderr
    assert 0 == status.code
    assert not (yard.folder / "home" / "ledger.db").exists()
    files = [path.read_bytes() for path in yard.folder.rglob("*") if path.is_file()]
    shown = "".join(part for ended in (first, second, status) for part in (ended.stdout, ended.stderr)).encode()
    assert not [where for where in (*files, shown) if PASSWORD.encode() in where]
