"""The systemd units, read by systemd's own rules."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shipping.files import DEPLOYMENTS, assert_known_command

FOLDER = DEPLOYMENTS / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "CapabilityBoundingSet": "",
    "RestrictSUIDSGID": "yes",
    "UMask": "0077",
}
# Where the units say that things are -> where they are in this tree.
PROGRAMS = Path(sys.executable).parent
INSTALLED = {"/opt/reelroute/.venv/bin/": f"{PROGRAMS}/", "/opt/reelroute/deployments/": f"{DEPLOYMENTS}/"}


def read(unit: Path) -> dict[str, dict[str, list[str]]]:
    """Section -> name -> values in their order."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in unit.read_text().splitlines():
        if not line or line.startswith(("#", ";")):
            continue
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = sections.setdefault(header[1], {})
            continue
        name, equals, value = line.partition("=")
        assert equals, f"{unit.name}: {line}"
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name), f"{unit.name}: {line}"
        section.setdefault(name, []).append(value)
    return sections


def commands(unit: Path) -> list[list[str]]:
    service = read(unit)["Service"]
    return [shlex.split(line) for name in ("ExecStartPre", "ExecStart") for line in service.get(name, ())]


def test_there_is_a_unit_for_everything_that_stays() -> None:
    """What compose starts, and the metrics of who runs no receiver."""
    names = {unit.stem.removeprefix("reelroute-") for unit in UNITS}

    assert {"server", "worker", "events", "inference", "metrics"} == names


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_gives_up_what_it_does_not_need(unit: Path) -> None:
    """Not root, nothing to be gained, and one folder to write, which is its own."""
    service = read(unit)["Service"]

    assert {name: [value] for name, value in HARDENED.items()} == {name: service[name] for name in HARDENED}
    assert ["reelroute"] == service["User"]
    assert [f"reelroute/{unit.stem.removeprefix('reelroute-')}"] == service["StateDirectory"]
    assert ["always"] == service["Restart"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_takes_no_more_than_it_is_given(unit: Path) -> None:
    """Memory, processes and files have limits, and a core dump would hold keys; one child's end is not the unit's."""
    service = read(unit)["Service"]

    assert (["0"], ["8192"], ["512"]) == tuple(service[name] for name in ("LimitCORE", "LimitNOFILE", "TasksMax"))
    (memory,) = service["MemoryMax"]
    assert re.fullmatch(r"\d+[MG]", memory)
    starts_children = unit.stem in ("reelroute-inference", "reelroute-worker")
    assert (["continue"] if starts_children else None) == service.get("OOMPolicy")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_holds_no_secret_and_listens_on_loopback(unit: Path) -> None:
    """Secrets come from files that root alone reads; other machines come through a proxy with TLS."""
    service = read(unit)["Service"]
    files = [file for file in service["EnvironmentFile"] if file.startswith("/etc/")]
    example = (FOLDER / "environment.example").read_text()

    assert [f"/etc/reelroute/{unit.stem.removeprefix('reelroute-')}.env"] == files
    assert f"# {files[0]}" in example
    assert not re.search(r"KEY=|PASSWORD|AUTH_STRING", unit.read_text())
    for command in commands(unit):
        if "--host" in command:
            assert "127.0.0.1" == command[command.index("--host") + 1]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_commands_exist(unit: Path) -> None:
    """As programs of the environment, and with their options."""
    for command in commands(unit):
        assert command[0].startswith("/opt/reelroute/.venv/bin/")
        assert (PROGRAMS / Path(command[0]).name).is_file()
        if command[0].endswith("/reelroute"):
            assert_known_command(command)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_services_are_ordered_after_ones_that_exist(unit: Path) -> None:
    """Ours are; the others are systemd's own and PostgreSQL's."""
    ours = {other.name for other in UNITS}
    after = " ".join(read(unit)["Unit"]["After"]).split()

    assert {name for name in after if name.startswith("reelroute-")} <= ours


def test_systemd_itself_finds_no_fault(tmp_path: Path) -> None:
    """Every directive is known, every value can be, exposure is rated low."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd here; the tests above have read the units all the same")
    for unit in UNITS:
        text = unit.read_text()
        for there, here in INSTALLED.items():
            text = text.replace(there, here)
        (tmp_path / unit.name).write_text(re.sub(r"(?m)^Documentation=.*\n", "", text))
    units = [str(tmp_path / unit.name) for unit in UNITS]
    verified = subprocess.run([analyze, "verify", *units], capture_output=True, text=True)
    rated = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", *units], capture_output=True, text=True
    )

    assert [] == [line for line in verified.stderr.splitlines() if "reelroute" in line]
    assert 0 == rated.returncode, rated.stdout[-2000:] + rated.stderr
