"""Many small files at once: what each costs when it is written alone, paid once for many.

A file still appears whole or not at all, and replaces another one under its folder's lock. What is
shared is that lock, for some dozens of files, and the wait for the disk: one for all of them, at the
end. Until then a loss of power may lose any of them, as it may lose those that were not written yet.
"""

from __future__ import annotations

import ctypes
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from stat import S_ISREG

from tasks.storage.atomic import TEMP_PREFIX, locked, stamp, write_all

_AT_ONCE = 64
_AT_ONCE_BYTES = 1 << 20

Files = Sequence[tuple[str, bytes]]


def by_folder(items: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Gather keys that follow each other in a folder: (folder with its slash, [(name, content), ...])."""
    gathered: list[tuple[str, bytes]] = []
    last, size = "", 0
    for key, data in items:
        start, slash, name = key.rpartition("/")
        folder = start + slash
        if gathered and (folder != last or len(gathered) >= _AT_ONCE or size >= _AT_ONCE_BYTES):
            yield last, gathered
            gathered, size = [], 0
        last = folder
        gathered.append((name, data))
        size += len(data)
    if gathered:
        yield last, gathered


def publish_together(folder: str, files: Files, *, durably: bool) -> Files:
    """Write files of one folder, each whole or not at all.

    Args:
        durably: Have each on disk for good before it replaces another; else see to it with :func:`settle`.

    Returns:
        The files that were not written, because something that is no regular file has their name.
    """
    left = []
    temporary = f"{TEMP_PREFIX}{secrets.token_hex(8)}"
    with locked(folder):
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name, data in files:
                # Most often there is nothing, and asking is cheaper than being told by an exception.
                there = _stat(name, at) if os.access(name, os.F_OK, dir_fd=at, follow_symlinks=False) else None
                if there is not None and not S_ISREG(there.st_mode):
                    left.append((name, data))
                    continue
                _fill(temporary, at, data, durably=durably)
                if there is not None:
                    stamp(f"{folder}/{temporary}", there.st_mtime_ns)
                os.replace(temporary, name, src_dir_fd=at, dst_dir_fd=at)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=at)
            raise
        finally:
            os.close(at)
    return left


def settle(folders: Iterable[str]) -> None:
    """Wait until everything in the folders' file systems is on disk for good, as far as the system can tell."""
    seen = set()
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            device = os.fstat(descriptor).st_dev
            if device not in seen:
                seen.add(device)
                _sync(descriptor)
        finally:
            os.close(descriptor)


def _sync(descriptor: int) -> None:
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:  # not on Linux
        os.sync()
    elif syncfs(descriptor):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _fill(name: str, at: int, data: bytes, *, durably: bool) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=at)
    try:
        write_all(descriptor, data)
        if durably:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stat(name: str, at: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None
