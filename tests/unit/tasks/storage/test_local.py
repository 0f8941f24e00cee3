"""LocalStorage keeps the contract, and the promises that only a folder makes."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import multiprocessing
import os
import shutil
import signal
import stat as stat_flags
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from tasks.domain.errors import (
    AccessDenied,
    InputInvalid,
    KeyUnsafe,
    LocationMissing,
    NotSignable,
    ObjectMissing,
    PreconditionFailed,
    ReelrouteError,
    StorageUnavailable,
)
from tasks.storage import atomic
from tasks.storage.base import Storage
from tasks.storage.local import LocalStorage
from tasks.storage.os_errors import translate
from tests.contracts.storage import StorageContract
from tests.unit.tasks.storage.conftest import FileServer


class TestLocalStorage(StorageContract):
    refused_keys: ClassVar = frozenset({"double//slash.mp4", "/leading-slash.mp4", "trailing-slash/"})
    shadowed_keys: ClassVar = frozenset({"a", "a/b"})

    @pytest.fixture
    def storage(self, tmp_path: Path, file_server: FileServer) -> Storage:
        root = tmp_path / "root of it all"
        root.mkdir()
        file_server.allowed.append(root)
        return LocalStorage(root, signer=file_server.signer())

    @pytest.fixture
    def tmp_path(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A short one: pytest names the usual folder after the test and its parameters."""
        return tmp_path_factory.mktemp("s")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path) -> LocalStorage:
    return LocalStorage(root)


def keys(store: LocalStorage, prefix: str = "") -> list[str]:
    return [found.key for found in store.list(prefix)]


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights where the tests run as root, whom no mode bits stop."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A folder that other users reach too, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


# --- the listing ---------------------------------------------------------------------------


def test_listing_is_in_byte_order_of_the_keys(store: LocalStorage) -> None:
    """Keys come as a bucket would give them, not as the folders happen to be stored."""
    names = ["a/b", "a!", "a0", "ab", "b/c/d", "b/c!", "Z", "é", "日", "a-b/c"]
    for name in names:
        store.write(name, b"x")
    assert sorted(names, key=str.encode) == keys(store)


def test_names_that_are_not_utf8_come_through(root: Path, store: LocalStorage) -> None:
    """A Latin-1 file name is listed, read, changed and deleted."""
    (root / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"data")
    (found,) = store.list()
    assert b"caf\xe9.mp4" == os.fsencode(found.key)
    assert b"data" == store.read(found.key)
    store.write(found.key, b"new", if_match=found.version)
    store.delete(found.key)
    assert [] == tree(root)


def test_hidden_files_are_listed_and_our_own_temporary_ones_are_not(root: Path, store: LocalStorage) -> None:
    """A user's dot files are objects; what a killed writer left is not."""
    (root / ".hidden.mp4").touch()
    (root / ".folder").mkdir()
    (root / ".folder/x.mp4").touch()
    (root / f"{atomic.TEMP_PREFIX}0123").write_bytes(b"half")
    assert [".folder/x.mp4", ".hidden.mp4"] == keys(store)


def test_only_regular_files_are_objects(root: Path, store: LocalStorage) -> None:
    """Pipes and devices are neither listed nor opened, which would block."""
    os.mkfifo(root / "pipe.mp4")
    assert [] == keys(store)
    with pytest.raises(ObjectMissing):
        store.read("pipe.mp4")


def test_links_are_followed_to_files_inside_the_root_only(
    root: Path, store: LocalStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """A link to a file of ours is listed with that file's size; others are left out, and counted once."""
    (root.parent / "outside.mp4").write_bytes(b"secret")
    store.write("sub/real.mp4", b"12345")
    (root / "inside.mp4").symlink_to(root / "sub/real.mp4")
    (root / "relative.mp4").symlink_to("sub/real.mp4")
    (root / "outside.mp4").symlink_to(root.parent / "outside.mp4")
    (root / "nowhere.mp4").symlink_to("absent")
    (root / "self.mp4").symlink_to("self.mp4")
    (root / "again").symlink_to(root / "sub")
    (root / "sub/up").symlink_to(root)
    with caplog.at_level(logging.WARNING):
        listed = {found.key: found.size for found in store.list()}
    assert {"inside.mp4": 5, "relative.mp4": 5, "sub/real.mp4": 5} == listed
    assert ["left out 5 files"] == [record.getMessage()[:16] for record in caplog.records]


def test_a_root_that_is_a_link_is_a_root(root: Path) -> None:
    """The root itself may be a symlink; URIs keep the name that the user wrote."""
    LocalStorage(root).write("a.mp4", b"x")
    link = root.parent / "link"
    link.symlink_to(root)
    assert [f"file://{link}/a.mp4"] == [found.uri for found in LocalStorage(link).list()]
    assert b"x" == LocalStorage(link).read("a.mp4")


def test_a_folder_that_cannot_be_read_does_not_end_the_listing(
    open_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is locked is left out with a warning that names it; the rest is listed."""
    store = LocalStorage(open_root)
    for name in ("a/1", "locked/2", "unsearchable/3", "z/4"):
        store.write(name, b"x")
    (open_root / "locked").chmod(0)
    (open_root / "unsearchable").chmod(0o444)
    with as_nobody(), caplog.at_level(logging.WARNING):
        assert ["a/1", "z/4"] == keys(store)
    assert 2 == len(caplog.records)
    assert "locked" in caplog.records[0].getMessage()
    assert "unsearchable/3" in caplog.records[1].getMessage()


def test_a_locked_root_is_an_error(open_root: Path) -> None:
    """The root itself must be readable: an empty listing would be a lie."""
    store = LocalStorage(open_root)
    open_root.chmod(0)
    with as_nobody(), pytest.raises(AccessDenied):
        keys(store)


def test_folders_and_files_may_vanish_during_the_listing(root: Path, store: LocalStorage) -> None:
    """What is deleted while we list is simply not there any more."""
    for name in ("a", "b/1", "c", "d"):
        store.write(name, b"x")
    listing = store.list()
    assert "a" == next(listing).key
    (root / "b/1").unlink()
    (root / "b").rmdir()
    (root / "c").unlink()
    assert ["d"] == [found.key for found in listing]


def test_folders_as_deep_as_a_key_can_say(store: LocalStorage) -> None:
    """Five hundred folders in one another, the most that 1,000 characters name, are written and listed."""
    key = "d/" * 499 + "x"
    store.write(key, b"x")
    assert [key] == keys(store)


@pytest.mark.parametrize("create", [False, True])
def test_a_root_that_is_missing_or_a_file(tmp_path: Path, create: bool) -> None:
    """A typo is an error with a hint, never an empty listing; only an output folder may be missing."""
    (tmp_path / "clip.mp4").write_bytes(b"x")
    with pytest.raises(LocationMissing, match="is a file") as caught:
        keys(LocalStorage(tmp_path / "clip.mp4", create=create))
    assert caught.value.hint
    missing = LocalStorage(tmp_path / "my%20videos", create=create)
    if create:
        assert [] == keys(missing)
        missing.write("a/b", b"x")
        assert ["a/b"] == keys(missing)
        return
    for attempt in (lambda: keys(missing), lambda: missing.write("a", b"x")):
        with pytest.raises(LocationMissing) as caught:
            attempt()
    assert "%20 is not a space" in caught.value.hint
    assert ["clip.mp4"] == tree(tmp_path)


def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative root counts from the working directory at the time, and its URIs are absolute."""
    monkeypatch.chdir(tmp_path)
    store = LocalStorage(Path("out"), create=True)
    monkeypatch.chdir("/")
    store.write("a", b"x")
    assert [f"file://{tmp_path}/out/a"] == [found.uri for found in store.list()]


def test_times_that_no_calendar_holds(root: Path, store: LocalStorage) -> None:
    """Files from before 1970 are listed with their time; absurd ones with the nearest that exists."""
    store.write("old", b"x")
    os.utime(root / "old", (-86_400, -86_400))
    assert datetime(1969, 12, 31, tzinfo=UTC) == store.stat("old").modified
    from tasks.storage.local import _moment

    assert datetime.max.replace(tzinfo=UTC) == _moment(10**30)
    assert datetime.min.replace(tzinfo=UTC) == _moment(-(10**30))


# --- keys that would leave -----------------------------------------------------------------


@pytest.mark.parametrize("key", ["out/secret", "out/new", "out/deeper/new", "file", "back/x"])
def test_no_symlink_leads_out_of_the_root(root: Path, store: LocalStorage, tmp_path: Path, key: str) -> None:
    """Nothing is read, written, deleted or signed through a link that leaves, not even on a way back in."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (outside / "x").symlink_to(root / "inside")
    (root / "inside").write_bytes(b"inside")
    (root / "out").symlink_to(outside)
    (root / "back").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    before = tree(tmp_path)
    for attempt in (
        lambda: store.read(key),
        lambda: store.stat(key),
        lambda: store.write(key, b"x"),
        lambda: store.delete(key),
        lambda: store.sign(key, timedelta(hours=1)),
        lambda: store.write_many(iter([("fine", b"x"), (key, b"x")]), content_type=""),
    ):
        with pytest.raises(KeyUnsafe):
            attempt()
    store.delete("fine")
    assert before == tree(tmp_path)
    assert b"secret" == (outside / "secret").read_bytes()


def test_links_inside_the_root_may_be_used(root: Path, store: LocalStorage) -> None:
    """A link to a sub-folder works in keys; writing over a linked file replaces the link, not its target."""
    store.write("sub/a", b"a")
    (root / "link").symlink_to("sub")
    (root / "alias").symlink_to("sub/a")
    assert b"a" == store.read("link/a")
    store.write("link/b", b"b")
    store.write("alias", b"new")
    assert (b"b", b"a", b"new") == (store.read("sub/b"), store.read("sub/a"), store.read("alias"))
    assert not (root / "alias").is_symlink()


@pytest.mark.parametrize("key", ["/etc/passwd", "a//b", "a/", "/", "lone\ud800surrogate", f"{atomic.TEMP_PREFIX}x"])
def test_keys_that_a_folder_cannot_hold(store: LocalStorage, root: Path, key: str) -> None:
    """Absolute keys, empty segments, lone surrogates and our own temporary names are refused."""
    with pytest.raises(KeyUnsafe):
        store.write(key, b"x")
    with pytest.raises(KeyUnsafe):
        store.read(key)
    assert [] == tree(root)


@pytest.mark.parametrize("key", ["x" * 256, "é" * 128, "/".join(["y" * 250] * 20)])
def test_names_too_long_for_the_file_system_are_refused_with_a_hint(store: LocalStorage, key: str) -> None:
    """A segment beyond 255 bytes, or a path beyond the system's limit, is named as such."""
    for attempt in (lambda: store.write(key, b"x"), lambda: store.read(key), lambda: store.delete(key)):
        with pytest.raises(KeyUnsafe) as caught:
            attempt()
        assert "255 bytes" in caught.value.hint


@pytest.mark.parametrize("key", ["file/below", "folder"])
def test_a_file_and_a_folder_cannot_share_a_name(store: LocalStorage, root: Path, key: str) -> None:
    """Buckets hold both "a" and "a/b"; a folder says that it cannot, and keeps what it has."""
    store.write("file", b"x")
    store.write("folder/x", b"x")
    for if_match in (None, ""):
        with pytest.raises(KeyUnsafe, match="cannot write"):
            store.write(key, b"y", if_match=if_match)
    assert ["file", "folder", "folder/x"] == tree(root)


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


# --- signing -------------------------------------------------------------------------------


def test_a_url_works_until_it_expires(root: Path, file_server: FileServer) -> None:
    """The file, also under a name that is not UTF-8, is given out until the second that was said."""
    name = os.fsdecode(b"caf\xe9 #1.mp4")
    file_server.allowed.append(root)
    store = LocalStorage(root, signer=file_server.signer())
    store.write(name, b"data")
    signed = store.sign(name, timedelta(minutes=5))
    assert b"data" == httpx.get(signed.url).content
    file_server.ahead = timedelta(minutes=5)
    assert 403 == httpx.get(signed.url).status_code


def test_without_a_signer_nothing_is_signable(store: LocalStorage) -> None:
    """A folder alone has no URLs; the error says who could make them."""
    store.write("k", b"x")
    with pytest.raises(NotSignable) as caught:
        store.sign("k", timedelta(hours=1))
    assert caught.value.hint
