"""What LocalStorage lists, in which order, and what it passes over."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.domain.errors import (
    AccessDenied,
    LocationMissing,
    ObjectMissing,
)
from tasks.storage import atomic
from tasks.storage.local import LocalStorage
from tasks.storage.walk import Walk
from tests.unit.tasks.storage.folders import as_nobody, keys, tree

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
    """A link to a file of ours is listed with that file's size; others are marked as unreadable, and logged once."""
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
        found = list(store.list())
    listed = {item.key: item.size for item in found if not item.unreadable}
    assert {"inside.mp4": 5, "relative.mp4": 5, "sub/real.mp4": 5} == listed
    assert {"outside.mp4", "nowhere.mp4", "self.mp4", "again", "sub/up"} == {i.key for i in found if i.unreadable}
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
    """What is locked is marked as unreadable, with a warning that names it; the rest is listed."""
    store = LocalStorage(open_root)
    for name in ("a/1", "locked/2", "unsearchable/3", "z/4"):
        store.write(name, b"x")
    (open_root / "locked").chmod(0)
    (open_root / "unsearchable").chmod(0o444)
    with as_nobody(), caplog.at_level(logging.WARNING):
        found = [(item.key, item.unreadable) for item in store.list()]
    assert [("a/1", False), ("locked/", True), ("unsearchable/3", True), ("z/4", False)] == found
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


def test_an_output_folder_that_another_writer_makes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was missing when the listing began, and had nothing in it a moment later."""
    folder = tmp_path / "out"

    def made(root: bytes, prefix: bytes) -> Iterator[object]:
        try:
            yield from Walk(root, prefix)
        except FileNotFoundError:
            folder.mkdir()
            raise

    monkeypatch.setattr("tasks.storage.local.Walk", made)
    assert [] == keys(LocalStorage(folder, create=True))
    assert folder.is_dir()


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
