"""Files that appear whole or not at all, and are replaced by one writer at a time.

A file is written under a temporary name in its own folder and moved into place under a lock
on that folder. Readers take no lock: they see the old file or the new one. Nothing here knows
of keys or roots, and everything raises plain ``OSError``.
"""

# ruff: noqa: PTH105, PTH108, PTH116, PTH120 - descriptors and plain names, thousands of calls a second

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from stat import S_ISDIR

from tasks.domain.errors import PreconditionFailed

TEMP_PREFIX = ".reelroute-tmp-"
_LOCK_NAME = TEMP_PREFIX + "lock"
_ABANDONED_AFTER_S = 3600.0
# File systems that cannot lock a folder (NFS wants a file that is open for writing).
_UNLOCKABLE = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EISDIR})
# Some file systems have no hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


def version_of(stat: os.stat_result) -> str:
    """Name the content of a file by its time and size.

    The inode is left out on purpose: a folder that is restored or copied with its times keeps
    its versions, so nothing in it is paid for again.
    """
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


def stage(folder: str, fill: Callable[[int], None]) -> str:
    """Write a new temporary file in ``folder``, on disk for good; return its path.

    Args:
        fill: Writes the content to the file descriptor it is given.
    """
    path = f"{folder}/{TEMP_PREFIX}{secrets.token_hex(8)}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            fill(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        _discard(path)
        raise
    return path


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; the system may take a large buffer in several bites."""
    written = os.write(descriptor, data)
    if written == len(data):
        return
    view = memoryview(data)[written:]
    while view:
        view = view[os.write(descriptor, view) :]


def publish(staged: str, target: str, if_match: str | None) -> str:
    """Move a staged file to its name in the same folder and return its version.

    Each file that replaces another gets a later time, so no version comes twice under one name,
    however fast writers are and however coarse the file system's clock is.

    Args:
        if_match: None replaces; "" wants no file there; a version wants exactly that one.

    Raises:
        PreconditionFailed: ``if_match`` does not hold; the staged file is removed.
    """
    folder = os.path.dirname(target)
    try:
        with locked(folder):
            there = _stat(target)
            if there and S_ISDIR(there.st_mode):
                raise IsADirectoryError(errno.EISDIR, "a folder has this name")
            if if_match is not None and (version_of(there) if there else "") != if_match:
                raise PreconditionFailed("somebody else wrote the object first")
            stamped = stamp(staged, there.st_mtime_ns if there else None)
            if if_match == "":
                _create(staged, target)
            else:
                os.replace(staged, target)
    except BaseException:
        _discard(staged)
        raise
    return version_of(stamped)


def remove(path: str) -> None:
    """Unlink a file while nobody else publishes in its folder."""
    with locked(os.path.dirname(path)):
        os.unlink(path)


def place(staged: str, target: str) -> None:
    """Move a staged file to its name in the same folder, whatever is there."""
    try:
        os.replace(staged, target)
    except OSError:
        _discard(staged)
        raise


def sweep(folder: str) -> None:
    """Remove what writers that were killed left in a folder; nobody takes an hour to write a file there."""
    oldest = time.time() - _ABANDONED_AFTER_S
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(TEMP_PREFIX) and entry.name != _LOCK_NAME and entry.stat().st_mtime < oldest:
                _discard(entry.path)


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold the one lock of a folder against all threads and processes that write through here."""
    try:
        descriptor = _lock(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _UNLOCKABLE:
            raise
        descriptor = _lock(f"{folder}/{_LOCK_NAME}", os.O_RDWR | os.O_CREAT)
    try:
        yield
    finally:
        # Closing alone would leave the lock with a process that was forked meanwhile.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def stamp(path: str, previous_ns: int | None) -> os.stat_result:
    """Give a staged file a time after that of the file that it is to replace."""
    now = time.time_ns()
    if previous_ns is None:
        os.utime(path, ns=(now, now))
        return os.stat(path)
    # A file system may keep coarser times than nanoseconds: try larger steps until one shows.
    for step in (1, 1_000, 10_000_000, 1_000_000_000, 2_000_000_000):
        os.utime(path, ns=(now, max(now, previous_ns + step)))
        stamped = os.stat(path)
        if stamped.st_mtime_ns > previous_ns:
            break
    return stamped


def _create(staged: str, target: str) -> None:
    """Move into place unless a file is there, even one from a program that takes no lock."""
    try:
        os.link(staged, target)
    except FileExistsError:
        raise PreconditionFailed("somebody else wrote the object first") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.replace(staged, target)
    else:
        os.unlink(staged)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _discard(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
