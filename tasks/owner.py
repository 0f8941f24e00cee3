"""Who works on what: names of processes, and what those that were killed left behind."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import uuid
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path

from config.settings import Settings
from tasks.ledger.base import Ledger

# The second tells apart machines that were started from one memory image.
_MACHINE_IDS = ("/proc/sys/kernel/random/boot_id", "/etc/machine-id")


def new_owner() -> str:
    """Name this process in leases: machine, process id and a random part."""
    return f"{_machine()}:{os.getpid()}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Say whether a lease's owner is certainly gone: a process of this machine that no longer runs."""
    machine, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    return machine == _machine() and pid.isdigit() and not _runs(int(pid))


def _machine() -> str:
    """Where this process's id means something: host name, which boot of which machine, and process namespace.

    The name alone is for people: two machines may have the same one. Ids of a boot are never the
    same, and containers of one boot have namespaces of their own.
    """
    try:
        space = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116
    except OSError:
        space = 0
    return f"{socket.gethostname()}/{_boot()}/{space}"


@cache
def _boot() -> str:
    """Which boot of which machine this is: 16 hex digits, which do not tell the ids that they are made of."""
    ids = [_first_line(path) for path in _MACHINE_IDS]
    if not ids[0]:
        # Not Linux: the network card tells machines apart. Where there is none the number is random, and
        # nobody is taken for dead: leases end by their time.
        ids.append(f"{uuid.getnode():012x}")
    return hashlib.sha256("\n".join(["reelroute", *ids]).encode()).hexdigest()[:16]


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended, and only its parent has not asked how: in a container perhaps never."""
    try:
        # The state follows the name in parentheses, which may hold anything (proc(5)).
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state == b"Z"


def work_root(settings: Settings) -> Path:
    """Where runs keep files while they work on them."""
    return settings.home / "work"


def bury_the_dead(ledger: Ledger, now: datetime) -> None:
    """Give back what killed processes of this machine held, so that nobody waits for their leases to end."""
    for owner in ledger.owners():
        if is_dead(owner):
            ledger.abandon(owner, now)


def work_prefix() -> str:
    """What the names of this process's work folders begin with."""
    return f"{_short_machine()}-{os.getpid()}-"


def dead_work(settings: Settings) -> Iterator[Path]:
    """Work folders of runs of this machine that were killed; machines may share the folder above."""
    return (folder for folder, is_living in _own_work(settings) if not is_living)


def living_work(settings: Settings) -> Iterator[Path]:
    """Work folders of processes of this machine that are at work."""
    return (folder for folder, is_living in _own_work(settings) if is_living)


def _own_work(settings: Settings) -> Iterator[tuple[Path, bool]]:
    for folder in work_root(settings).glob(f"{_short_machine()}-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit():
            yield folder, _runs(int(pid))


def clear_dead_work(settings: Settings) -> None:
    """Remove the work folders of runs of this machine that were killed."""
    for folder in list(dead_work(settings)):
        shutil.rmtree(folder, ignore_errors=True)


def _short_machine() -> str:
    return hashlib.sha256(_machine().encode()).hexdigest()[:8]
