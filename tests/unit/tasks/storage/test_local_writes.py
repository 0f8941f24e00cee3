"""LocalStorage's versions and writes: whole or not at all, and none lost."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import stat as stat_flags
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.domain.errors import (
    AccessDenied,
    InputInvalid,
    KeyUnsafe,
    ObjectMissing,
    PreconditionFailed,
    ReelrouteError,
    StorageUnavailable,
)
from tasks.storage import atomic
from tasks.storage.local import LocalStorage
from tasks.storage.os_errors import translate
from tests.unit.tasks.storage.folders import as_nobody, keys, tree

# --- versions and atomicity ----------------------------------------------------------------


def test_a_copied_folder_keeps_its_versions(root: Path, store: LocalStorage, tmp_path: Path) -> None:
    """A backup that was restored with its times holds the same versions: nothing is inferred again."""
    version = store.write("a.mp4", b"12345")
    subprocess.run(["cp", "-rp", root, tmp_path / "copy"], check=True)
    assert version == LocalStorage(tmp_path / "copy").stat("a.mp4").version


def test_versions_never_come_twice_under_one_name(root: Path, store: LocalStorage) -> None:
    """Same-sized rewrites faster than the clock, also over a file from the future, all differ."""
    store.write("k", b"0")
    future = time.time_ns() + 10**15
    os.utime(root / "k", ns=(future, future))
    versions = [store.stat("k").version] + [store.write("k", b"0") for _ in range(200)]
    assert 201 == len(set(versions))


def test_versions_differ_on_a_file_system_with_coarse_times(
    store: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only whole seconds are kept, each rewrite still gets a version of its own."""
    utime = os.utime
    monkeypatch.setattr(os, "utime", lambda path, ns: utime(path, ns=(ns[0] // 10**9 * 10**9, ns[1] // 10**9 * 10**9)))
    versions = [store.write("k", b"0") for _ in range(5)]
    assert 5 == len(set(versions))


def _add_in_a_process(root: Path, number: int) -> None:
    store = LocalStorage(root)
    while True:
        version = store.stat("list").version
        members = json.loads(store.read("list"))
        try:
            store.write("list", json.dumps([*members, number]).ljust(500).encode(), if_match=version)
        except PreconditionFailed:
            continue
        return


@pytest.mark.parametrize("lockable", [True, False])
def test_no_update_is_lost_between_processes(
    store: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch, lockable: bool
) -> None:
    """Forty rewriters in eight processes all survive, also where folders themselves cannot be locked."""
    if not lockable:
        flock = fcntl.flock

        def as_on_nfs(descriptor: int, operation: int) -> None:
            if stat_flags.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(errno.EBADF, "not open for writing")
            flock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", as_on_nfs)
    store.write("list", b"[]")
    with multiprocessing.get_context("fork").Pool(8) as pool:
        pool.starmap(_add_in_a_process, [(root, number) for number in range(40)], chunksize=1)
    assert list(range(40)) == sorted(json.loads(store.read("list")))
    assert ["list"] == keys(store)
    assert lockable == (["list"] == tree(root))


def test_creating_works_without_hard_links(store: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without links, create-if-absent still holds between our own writers."""

    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    store.write("k", b"1", if_match="")
    with pytest.raises(PreconditionFailed):
        store.write("k", b"2", if_match="")
    assert b"1" == store.read("k")


def test_a_file_that_another_program_creates_meanwhile_is_not_overwritten(
    store: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Create-if-absent loses even against a writer that takes no lock."""
    link = os.link

    def late(source: str, target: str) -> None:
        Path(target).write_bytes(b"theirs")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(PreconditionFailed):
        store.write("k", b"ours", if_match="")
    assert b"theirs" == store.read("k")
    assert ["k"] == tree(root)


def test_a_killed_writer_leaves_nothing_visible(root: Path, store: LocalStorage) -> None:
    """After SIGKILL in mid-write the old object is whole, nothing new is listed, and writing goes on."""
    store.write("k", b"old")
    script = """
import sys, pathlib
from tasks.storage.local import LocalStorage
LocalStorage(pathlib.Path(sys.argv[1])).upload("k", pathlib.Path("/dev/stdin"))
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(root)], stdin=subprocess.PIPE, cwd=Path(__file__).parents[4]
    )
    assert writer.stdin
    writer.stdin.write(b"x" * (3 << 20))
    writer.stdin.flush()
    while not any(path.name.startswith(atomic.TEMP_PREFIX) and path.stat().st_size for path in root.iterdir()):
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdin.close()
    assert 2 == len(tree(root))
    assert ["k"] == keys(store)
    assert b"old" == store.read("k")
    store.write("k", b"new")
    assert b"new" == store.read("k")


def test_a_write_that_fails_leaves_nothing(
    store: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A full disk in mid-write: the old object stays, no temporary file is left, the hint says why."""
    store.write("k", b"old")
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for attempt in (
        lambda: store.write("k", b"new"),
        lambda: store.upload("k", source),
        lambda: store.write_many(iter([("k", b"new")]), content_type=""),
        lambda: store.download("k", tmp_path / "target"),
    ):
        with pytest.raises(StorageUnavailable) as caught:
            attempt()
        assert "disk is full" in caught.value.hint
    assert b"old" == store.read("k")
    assert ["k"] == tree(root)
    assert ["root", "root/k", "source"] == tree(tmp_path)


def test_a_real_full_device() -> None:
    """What Linux says when there is no room is understood as such."""
    with pytest.raises(OSError) as caught, Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")
    error = translate(caught.value, "write", "k")
    assert isinstance(error, StorageUnavailable)
    assert "disk is full" in error.hint


@pytest.mark.parametrize(
    ("code", "action", "expected"),
    [
        (errno.EROFS, "write", AccessDenied),
        (errno.EACCES, "read", AccessDenied),
        (errno.EDQUOT, "write", StorageUnavailable),
        (errno.EIO, "read", StorageUnavailable),
        (errno.ENOENT, "read", ObjectMissing),
        (errno.ENOENT, "write", StorageUnavailable),
        (errno.EILSEQ, "write", KeyUnsafe),
        (errno.EISDIR, "read", ObjectMissing),
    ],
)
def test_operating_system_errors_have_names(code: int, action: str, expected: type[ReelrouteError]) -> None:
    """Each errno becomes the error that says whether trying again can help, with no raw control characters."""
    error = translate(OSError(code, os.strerror(code)), action, "a\nb")
    assert expected is type(error)
    assert f"cannot {action} a\\nb: {os.strerror(code)}" == str(error)


def test_a_folder_without_the_right_to_write(open_root: Path) -> None:
    """Refused writes and reads are AccessDenied, before anything is left behind."""
    store = LocalStorage(open_root)
    store.write("locked/k", b"x")
    (open_root / "locked/k").chmod(0)
    (open_root / "locked").chmod(0o555)
    with as_nobody():
        for attempt in (
            lambda: store.write("locked/k", b"y"),
            lambda: store.write("locked/new/k", b"y"),
            lambda: store.delete("locked/k"),
            lambda: store.read("locked/k"),
        ):
            with pytest.raises(AccessDenied):
                attempt()
    assert ["locked", "locked/k"] == tree(open_root)


def test_new_files_have_the_modes_that_the_umask_gives(store: LocalStorage, root: Path) -> None:
    """Results are as readable for colleagues as any file, not private like a temporary one."""
    previous = os.umask(0o022)
    try:
        store.write("k", b"x")
    finally:
        os.umask(previous)
    assert 0o644 == stat_flags.S_IMODE((root / "k").stat().st_mode)


def test_a_download_of_a_file_that_is_being_written_fails(
    store: LocalStorage, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video that somebody is still copying in is not taken for whole, and may be tried again."""
    store.write("k", b"first half")
    copy = shutil.copyfileobj

    def slowly(source: object, target: object, length: int) -> None:
        copy(source, target, length)  # type: ignore[arg-type]
        with (root / "k").open("ab") as file:
            file.write(b", second half")

    monkeypatch.setattr(shutil, "copyfileobj", slowly)
    with pytest.raises(StorageUnavailable, match="changed"):
        store.download("k", tmp_path / "target")
    assert ["root", "root/k"] == tree(tmp_path)


def test_a_download_onto_a_folder_leaves_nothing(store: LocalStorage, tmp_path: Path) -> None:
    """A target that cannot be replaced is an error, and no temporary file stays behind."""
    store.write("k", b"x")
    (tmp_path / "target").mkdir()
    with pytest.raises(KeyUnsafe, match="target"):
        store.download("k", tmp_path / "target")
    assert ["root", "root/k", "target"] == tree(tmp_path)


@pytest.mark.parametrize("name", ["absent", "root"])
def test_uploading_what_is_no_file(store: LocalStorage, tmp_path: Path, name: str) -> None:
    """A missing source or a folder is the caller's mistake, told with its name."""
    with pytest.raises(InputInvalid, match=name):
        store.upload("k", tmp_path / name)


def test_negative_ranges_are_refused(store: LocalStorage) -> None:
    """A negative start would read from the end without saying so."""
    store.write("k", b"x")
    for start, length in ((-1, None), (0, -1)):
        with pytest.raises(ValueError, match="negative"):
            store.read("k", start, length)


def test_what_killed_writers_left_is_swept_in_time(store: LocalStorage, root: Path) -> None:
    """Not what somebody may still be writing, not the folder's lock, and nothing of anybody else's."""
    (root / "a").mkdir()
    for name in (".reelroute-tmp-old", ".reelroute-tmp-lock", ".hidden", "b.json"):
        (root / "a" / name).write_bytes(b"x")
        os.utime(root / "a" / name, (0, 0))
    (root / "a" / ".reelroute-tmp-new").write_bytes(b"x")

    store.write_many(iter([("a/c.json", b"{}")]), content_type="application/json")

    expected = {".reelroute-tmp-lock", ".hidden", "b.json", ".reelroute-tmp-new", "c.json"}
    assert expected == {path.name for path in (root / "a").iterdir()}


def test_a_file_that_is_replaced_while_it_is_read_is_read_whole(
    store: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one or the new one, never as much of the new one as the old one was long."""
    store.write("k", b"old")
    stat = os.stat

    def replaced_meanwhile(path: Any, **how: Any) -> os.stat_result:
        found = stat(path, **how)
        if str(path) == f"{root}/k":
            (root / "new").write_bytes(b"much longer")
            (root / "new").replace(root / "k")
        return found

    monkeypatch.setattr(os, "stat", replaced_meanwhile)

    assert b"much longer" == store.read("k")
