"""An emulator that is missing is said to be missing: no test is skipped for want of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.emulators import install


def test_each_emulator_is_installed_once_and_as_its_lock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there, there, and there in an older version."""
    lock = tmp_path / "lock"
    lock.write_text("one")
    builds: list[Path] = []

    def build(folder: Path, lock: Path) -> None:
        folder.mkdir()
        builds.append(folder)

    monkeypatch.setitem(install.EMULATORS, "cloud", (tmp_path / "emulators/cloud", lock, build))
    with pytest.raises(RuntimeError, match=r"cloud is not installed: run .* -m tests\.emulators\.install"):
        install.installed("cloud")
    install.install("cloud")
    install.install("cloud")
    assert tmp_path / "emulators/cloud" == install.installed("cloud")
    assert 1 == len(builds)
    lock.write_text("two")
    with pytest.raises(RuntimeError):
        install.installed("cloud")
    install.install("cloud")
    assert 2 == len(builds)
