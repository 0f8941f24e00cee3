"""A folder on this machine as a store.

Keys are file names below the root, byte for byte. A file's version is its modification time
and size. Writes are atomic and compare-and-set holds between threads, processes and containers
that share the folder. No key and no symlink leads out of the root.
"""

# ruff: noqa: PTH100, PTH102, PTH112, PTH113, PTH114, PTH116, PTH120, PTH123
# - os.path answers "no" for names that no file system holds, where pathlib raises; and hot paths stay cheap
# ruff: noqa: ARG002
# - a folder keeps no content types

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from tasks.domain.errors import (
    AccessDenied,
    InputInvalid,
    KeyUnsafe,
    LocationMissing,
    NotSignable,
    ObjectMissing,
    PreconditionFailed,
    StorageUnavailable,
)
from tasks.domain.video import SignedUrl, printable
from tasks.storage import atomic, content, many_files
from tasks.storage.base import ObjectInfo
from tasks.storage.loopback import FileUrlSigner
from tasks.storage.options import StorageOptions
from tasks.storage.os_errors import translate, translated
from tasks.storage.walk import Walk

_COPY_BYTES = 1 << 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def open_uri(uri: str, options: StorageOptions) -> LocalStorage:
    """Open ``file:///folder/``; the path is taken verbatim, ``%20`` is not a space."""
    if "\0" in uri:
        raise InputInvalid(f"{printable(uri)} holds a NUL character")
    return LocalStorage(Path(uri.removeprefix("file://")), signer=options.url_signer, create=options.create)


class LocalStorage:
    """A folder as :class:`tasks.storage.base.Storage`.

    Args:
        root: The folder; a relative one counts from the working directory now.
        signer: Signs URLs for a service that gives out the files; None makes them not signable.
        create: Make the folder at the first write, and list a missing one as empty.
    """

    def __init__(self, root: Path, *, signer: FileUrlSigner | None = None, create: bool = False) -> None:
        self._root = os.path.abspath(root)
        self._real = os.path.realpath(self._root)
        self._signer = signer
        self._create = create

    def __repr__(self) -> str:
        return f"LocalStorage({self.root!r})"

    @property
    def root(self) -> str:
        """``file://`` URI of the folder, with its trailing slash."""
        return f"file://{self._root.rstrip('/')}/"

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Stream files in byte order of their keys; see :class:`tasks.storage.walk.Walk` for symlinks.

        Unlike a bucket, a folder that cannot be read is left out with a warning.
        """
        walk = Walk(os.fsencode(self._real), _encoded(prefix))
        try:
            for key, found in walk:
                yield self._info(os.fsdecode(key), found) if found else self._unreadable(os.fsdecode(key))
        except OSError as error:
            problem = translate(error, "list", self.root)
            if not isinstance(problem, ObjectMissing):
                raise problem from None
            # One that another writer made this very moment had nothing in it; a dangling link is no folder to come.
            if not self._create or (os.path.lexists(self._root) and not os.path.isdir(self._root)):
                raise self._root_missing() from None

    def stat(self, key: str) -> ObjectInfo:
        """Say what is there now."""
        return self._info(key, self._file(key)[1])

    def content_hash(self, key: str, version: str) -> str:
        """The SHA-256 of the file, which is read for it."""
        path, found = self._file(key)
        content.same_version(self._info(key, found), version)
        with translated("read", key), open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        content.same_version(self._info(key, self._file(key)[1]), version)
        return f"sha256:{digest}"

    def sign(self, key: str, lifetime: timedelta, version_id: str = "") -> SignedUrl:
        """Make a loopback URL; whether the file exists shows when it is fetched. A folder keeps no versions."""
        path = self._path(key)
        if self._signer is None:
            raise NotSignable(
                f"{printable(self.root + key)} is a local file and no service gives out local files",
                hint="the hosted service takes local files by upload; the embedded one signs them when it runs here",
            )
        return self._signer.sign(Path(path), lifetime)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read ``length`` bytes from ``start``; none beyond the end."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length must not be negative")
        path, _ = self._file(key)
        with translated("read", key), open(path, "rb") as file:
            # Of the file that was opened: another one, of another size, may have replaced it since it was looked at.
            left = max(os.fstat(file.fileno()).st_size - start, 0)
            file.seek(start)
            return file.read(left if length is None else min(length, left))

    def download(self, key: str, target: Path) -> None:
        """Copy the file; ``target`` appears only when it is whole, its folder is made where needed."""
        path, found = self._file(key)
        with translated("read", key), open(path, "rb") as source, translated("write", str(target)):

            def fill(descriptor: int) -> None:
                _copy(source, descriptor)
                if atomic.version_of(os.fstat(source.fileno())) != atomic.version_of(found):
                    raise StorageUnavailable(f"{printable(key)} changed while it was read")

            target.parent.mkdir(parents=True, exist_ok=True)
            atomic.place(atomic.stage(str(target.parent), fill), str(target))

    def write(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_match: str | None = None
    ) -> str:
        """Write the whole file at once; a folder keeps no content type."""
        return self._put(key, lambda descriptor: atomic.write_all(descriptor, data), if_match)

    def upload(self, key: str, source: Path, *, content_type: str = "application/octet-stream") -> str:
        """Copy a file in."""
        try:
            with open(source, "rb") as file:
                return self._put(key, lambda descriptor: _copy(file, descriptor))
        except OSError as error:
            raise InputInvalid(f"cannot read {printable(str(source))}: {error.strerror}") from None

    def write_many(self, items: Iterator[tuple[str, bytes]], *, content_type: str) -> int:
        """Write many files, each atomic; return how many. All are on disk for good when it returns.

        Sweeps up what writers that were killed left in the same folders.
        """
        folders: dict[str, str] = {}
        count = 0
        batches = many_files.by_folder(items)
        first, second = next(batches, None), next(batches, None)
        try:
            for folder, files in chain(filter(None, (first, second)), batches):
                # A few files wait for the disk one by one; many wait for all that is on its way to it.
                self._write_together(folder, files, folders, durably=second is None)
                count += len(files)
        finally:
            if second is not None:
                with translated("write", self.root):
                    many_files.settle(folders.values())
        for path in folders.values():
            atomic.sweep(path)
            atomic.sync_folder(path)
        return count

    def _write_together(self, folder: str, files: many_files.Files, folders: dict[str, str], *, durably: bool) -> None:
        """Write files of one folder; ``folders`` holds those that were looked at, with their paths."""
        if folder not in folders:
            path = os.path.dirname(self._path(folder + files[0][0]))
            with translated("write", folder):
                self._make_folder(path)
            folders[folder] = path
        for name, _ in files:
            _check(name)
        with translated("write", folder + files[0][0]):
            left = many_files.publish_together(folders[folder], files, durably=durably)
        for name, data in left:  # a link, or what cannot be replaced
            self.write(folder + name, data)

    def delete(self, key: str) -> None:
        """Remove the file; folders stay, also empty ones."""
        path = self._path(key)
        if os.path.isdir(path) and not os.path.islink(path):
            return  # no object has this name
        with suppress(ObjectMissing), translated("delete", key):
            atomic.remove(path)

    def check_write(self) -> bool:
        """Look at the folder, or at the one in which it would be made: who may write there, and is there room?"""
        folder = self._root
        while self._create and not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        shown = printable(folder)
        if os.path.lexists(folder) and not os.path.isdir(folder):
            raise LocationMissing(f"{shown} is no folder", hint="a file stands in the way: choose another place")
        if not os.path.isdir(folder):
            raise self._root_missing()
        if not os.access(folder, os.W_OK | os.X_OK):
            raise AccessDenied(f"{shown} cannot be written to", hint="check who owns the folder, and how it is mounted")
        with translated("write", folder):
            room = os.statvfs(folder)
        if room.f_blocks and not room.f_bavail:
            raise StorageUnavailable(f"the disk of {shown} is full", hint="free some space")
        return True

    def _put(self, key: str, fill: Callable[[int], None], if_match: str | None = None) -> str:
        """Stage and publish one file, durably."""
        path = self._path(key)
        folder = os.path.dirname(path)
        with translated("write", key):
            self._make_folder(folder)
            try:
                version = atomic.publish(atomic.stage(folder, fill), path, if_match)
            except PreconditionFailed:
                raise PreconditionFailed(f"somebody else wrote {printable(key)} first") from None
        atomic.sync_folder(folder)
        return version

    def _make_folder(self, folder: str) -> None:
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        if missing and not self._create and not os.path.isdir(self._root):
            raise self._root_missing()
        for each in reversed(missing):  # os.makedirs recurses, and keys may be deeper than Python's stack
            with suppress(FileExistsError):
                os.mkdir(each)

    def _file(self, key: str) -> tuple[str, os.stat_result]:
        """The path and stat of a regular file; opening a pipe or a device would block."""
        path = self._path(key)
        with translated("read", key):
            found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise ObjectMissing(f"{printable(key)} is not a file")
        return path, found

    def _path(self, key: str) -> str:
        """The file's path, once it is sure that neither the key nor a symlink leads out of the root."""
        _check(key)
        path = f"{self._root.rstrip('/')}/{key}"
        if not self._holds(os.path.realpath(os.path.dirname(path))) or (
            os.path.islink(path) and not self._holds(os.path.realpath(path))
        ):
            raise KeyUnsafe(f"{printable(key)} leads out of {printable(self.root)} through a symlink")
        return path

    def _holds(self, real: str) -> bool:
        return real == self._real or real.startswith(self._real.rstrip("/") + "/")

    def _info(self, key: str, found: os.stat_result) -> ObjectInfo:
        return ObjectInfo(key, self.root + key, atomic.version_of(found), found.st_size, _moment(found.st_mtime_ns))

    def _unreadable(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, self.root + key, "", 0, _moment(0), unreadable=True)

    def _root_missing(self) -> LocationMissing:
        shown = printable(self._root)
        if os.path.isfile(self._root):
            return LocationMissing(f"{shown} is a file", hint="a source names a folder; pick files with `include`")
        verbatim = "paths are taken as written: %20 is not a space" if "%" in shown else ""
        return LocationMissing(
            f"there is no folder {shown}", hint=verbatim or "check the path, and that its disk is mounted"
        )


def _check(key: str) -> None:
    """Refuse keys that are no plain path below a folder."""
    plain = key.isascii() and "/." not in key and "//" not in key and "\0" not in key
    if plain and key[:1] not in ("", ".", "/") and key[-1] != "/":
        return  # as nearly all are
    segments = key.split("/")
    if "\0" in key or any(part in ("", ".", "..") or part.startswith(atomic.TEMP_PREFIX) for part in segments):
        raise KeyUnsafe(
            f"{printable(key)!r} is not a file below a folder",
            hint="in a folder, keys have no leading, trailing or double slash, no '.' or '..' segment, no NUL "
            f"and no name that begins with {atomic.TEMP_PREFIX}",
        )
    _encoded(key)


def _encoded(key: str) -> bytes:
    try:
        return os.fsencode(key)
    except UnicodeEncodeError:
        raise KeyUnsafe(f"{printable(key)!r} holds characters that no file name can hold") from None


def _copy(source: BinaryIO, descriptor: int) -> None:
    with open(descriptor, "wb", closefd=False) as target:
        shutil.copyfileobj(source, target, _COPY_BYTES)


def _moment(mtime_ns: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=mtime_ns // 1000)
    except OverflowError:  # a file system can hold times that no calendar does
        return datetime.max.replace(tzinfo=UTC) if mtime_ns > 0 else datetime.min.replace(tzinfo=UTC)
