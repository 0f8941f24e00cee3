"""Owners are told apart by machine, boot and process namespace: only what is certainly gone is dead."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks.owner
from tasks.owner import bury_the_dead, is_dead, new_owner
from tests.rig import Rig


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    """What this machine is, is remembered; here it changes."""
    tasks.owner._boot.cache_clear()
    yield
    tasks.owner._boot.cache_clear()


def on_a_machine(monkeypatch: pytest.MonkeyPatch, folder: Path, boot: str | None, machine: str = "m") -> None:
    """Be another boot of another machine, with the same host name; ``None`` for a system that has no such ids."""
    paths = (folder / "boot_id", folder / "machine-id")
    for path, text in zip(paths, (boot, machine), strict=True):
        path.unlink(missing_ok=True)
        if boot is not None:
            path.write_text(f"{text}\n")
    monkeypatch.setattr(tasks.owner, "_MACHINE_IDS", tuple(map(str, paths)))
    tasks.owner._boot.cache_clear()


def ended_process() -> str:
    """Name an owner of this machine that is gone."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    machine, _, rest = new_owner().partition(":")
    return f"{machine}:{child.pid}:{rest.partition(':')[2]}"


@pytest.mark.parametrize(
    "here",
    [("another-boot", "m"), ("boot", "another-machine"), (None, "")],
    ids=["another boot", "a clone in mid-boot", "a system without ids"],
)
def test_a_process_of_another_machine_of_the_same_name_is_not_dead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, here: tuple[str | None, str]
) -> None:
    """Process ids of one mean nothing on the other, whatever the host names say."""
    on_a_machine(monkeypatch, tmp_path, "boot")
    there = ended_process()
    assert is_dead(there)

    on_a_machine(monkeypatch, tmp_path, *here)

    assert not is_dead(there)
    assert there.split("/")[0] == new_owner().split("/")[0]


def test_containers_of_one_boot_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They share the kernel's id, and have process ids of their own."""
    on_a_machine(monkeypatch, tmp_path, "boot")
    machine, _, rest = ended_process().partition(":")
    host, boot, space = machine.split("/")

    assert not is_dead(f"{host}/{boot}/{int(space) + 1}:{rest}")


def test_a_system_without_ids_still_knows_its_own_dead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By its network card."""
    on_a_machine(monkeypatch, tmp_path, None)
    monkeypatch.setattr("uuid.getnode", lambda: 0x0242AC110002)

    assert is_dead(ended_process())
    assert not is_dead(new_owner())


def test_the_ids_themselves_are_in_no_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine's id is confidential (machine-id(5)), and owners are in ledgers and messages."""
    on_a_machine(monkeypatch, tmp_path, "5ec7e7-boot", "5ec7e7-machine")

    assert "5ec7e7" not in new_owner()


def test_a_living_run_on_a_machine_of_the_same_name_keeps_what_it_holds(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A run that starts here gives back what is dead here, and nothing of there."""
    on_a_machine(monkeypatch, tmp_path, "there")
    there, run = ended_process(), rig.run()
    job = rig.listed(run)[0]
    run.ledger.claim(job.key, there, run.lease, run.clock())

    on_a_machine(monkeypatch, tmp_path, "here")
    bury_the_dead(run.ledger, run.clock())
    assert {there} == run.ledger.owners()

    on_a_machine(monkeypatch, tmp_path, "there")
    bury_the_dead(run.ledger, run.clock())
    assert set() == run.ledger.owners()
