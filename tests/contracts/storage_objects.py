"""What every store promises of one object: write, read, list, stat, delete."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.domain.errors import KeyUnsafe, ObjectMissing
from tasks.storage.base import Storage
from tests.contracts.storage_base import StoreUnderTest
from tests.contracts.storage_keys import SPECIAL_KEYS, UNSAFE_KEYS


class ObjectsContract(StoreUnderTest):
    """What every store promises of one object: write, read, list, stat, delete."""

    @pytest.mark.parametrize("key", SPECIAL_KEYS)
    def test_a_key_comes_through_unharmed(self, storage: Storage, key: str) -> None:
        """Any legal key is written, listed, read and deleted under exactly its own name, or refused."""
        data = key.encode()
        if key in self.refused_keys:
            with pytest.raises(KeyUnsafe):
                storage.write(key, data)
            return
        storage.write(key, data)
        assert [key] == [found.key for found in storage.list()]
        assert data == storage.read(key)
        assert storage.root + key == storage.stat(key).uri
        storage.delete(key)
        assert [] == list(storage.list())

    @pytest.mark.parametrize("key", UNSAFE_KEYS)
    def test_a_key_that_would_leave_the_root_is_refused_everywhere(
        self, storage: Storage, key: str, tmp_path: Path
    ) -> None:
        """No method touches anything for a key with dot segments, none at all, or NUL."""
        source = tmp_path / "source"
        source.write_bytes(b"x")
        for attempt in (
            lambda: storage.stat(key),
            lambda: storage.read(key),
            lambda: storage.write(key, b"x"),
            lambda: storage.write(key, b"x", if_match=""),
            lambda: storage.upload(key, source),
            lambda: storage.download(key, tmp_path / "target"),
            lambda: storage.write_many(iter([(key, b"x")]), content_type="text/plain"),
            lambda: storage.delete(key),
            lambda: storage.sign(key, timedelta(minutes=5)),
        ):
            with pytest.raises(KeyUnsafe):
                attempt()
        assert not (tmp_path / "target").exists()
        assert [] == list(storage.list())

    def test_normal_forms_are_two_keys(self, storage: Storage) -> None:
        """NFC and NFD spellings of one name are two objects."""
        storage.write("caf\u00e9", b"composed")
        storage.write("cafe\u0301", b"decomposed")
        assert (b"composed", b"decomposed") == (storage.read("caf\u00e9"), storage.read("cafe\u0301"))
        assert {"caf\u00e9", "cafe\u0301"} == {found.key for found in storage.list()}

    def test_listing_stat_and_write_agree(self, storage: Storage) -> None:
        """The three ways to learn of an object give the same version, size, time and URI."""
        version = storage.write("a/b.mp4", b"12345", content_type="video/mp4")
        assert [storage.stat("a/b.mp4")] == list(storage.list())
        found = storage.stat("a/b.mp4")
        assert (version, 5, "a/b.mp4") == (found.version, found.size, found.key)
        assert UTC == found.modified.tzinfo
        assert timedelta(minutes=5) > abs(datetime.now(UTC) - found.modified)
        assert storage.root + "a/b.mp4" == found.uri

    def test_the_root_ends_with_a_slash(self, storage: Storage) -> None:
        """URIs are root plus key, nothing between."""
        assert storage.root.endswith("/")

    def test_what_is_not_there_is_missing(self, storage: Storage, tmp_path: Path) -> None:
        """Reading nothing says so, whatever stands nearby, and leaves no file behind."""
        storage.write("folder/file", b"x")
        for key in ("absent", "folder", "folder/absent", "folder/file/below"):
            for attempt in (storage.stat, storage.read):
                with pytest.raises(ObjectMissing):
                    attempt(key)
            with pytest.raises(ObjectMissing):
                storage.download(key, tmp_path / "target")
        assert [] == list(tmp_path.glob("*target*"))

    def test_deleting_nothing_is_no_error(self, storage: Storage) -> None:
        """Delete means "be gone": of an object, of nothing, and of a mere prefix of others."""
        storage.write("folder/file", b"x")
        for key in ("absent", "folder", "folder/file/below", "no/such/place"):
            storage.delete(key)
        assert b"x" == storage.read("folder/file")

    def test_an_empty_object_is_an_object(self, storage: Storage, tmp_path: Path) -> None:
        """Zero bytes are listed, read and downloaded like any other content."""
        storage.write("empty.mp4", b"")
        assert [("empty.mp4", 0)] == [(found.key, found.size) for found in storage.list()]
        assert b"" == storage.read("empty.mp4")
        assert b"" == storage.read("empty.mp4", 5, 5)
        storage.download("empty.mp4", tmp_path / "copy")
        assert b"" == (tmp_path / "copy").read_bytes()

    @pytest.mark.parametrize(
        ("start", "length"),
        [(0, None), (0, 0), (0, 4), (3, 4), (8, 2), (8, 100), (9, None), (10, 1), (11, None), (5, 1 << 60)],
    )
    def test_reading_a_range(self, storage: Storage, start: int, length: int | None) -> None:
        """A range is a slice: short at the end, nothing beyond it."""
        data = b"0123456789"
        storage.write("digits", data)
        end = None if length is None else start + length
        assert data[start:end] == storage.read("digits", start, length)

    def test_a_large_object_goes_up_and_comes_down_whole(self, storage: Storage, tmp_path: Path) -> None:
        """Upload and download stream tens of megabytes without a byte's difference."""
        source, target = tmp_path / "source.bin", tmp_path / "new" / "folder" / "target.bin"
        block = bytes(range(256)) * 4096
        source.write_bytes(block * 20 + b"tail")
        version = storage.upload("big.bin", source, content_type="application/x-test")
        assert version == storage.stat("big.bin").version
        storage.download("big.bin", target)
        assert hashlib.sha256(source.read_bytes()).digest() == hashlib.sha256(target.read_bytes()).digest()

    def test_download_replaces_what_was_there(self, storage: Storage, tmp_path: Path) -> None:
        """An older file under the target's name is replaced, and nothing else is left in the folder."""
        target = tmp_path / "downloads" / "target"
        target.parent.mkdir()
        target.write_bytes(b"old and longer")
        storage.write("key", b"new")
        storage.download("key", target)
        assert b"new" == target.read_bytes()
        assert [target] == list(target.parent.iterdir())

    def test_writes_replace(self, storage: Storage) -> None:
        """A second write leaves one object with the new content and another version."""
        first = storage.write("key", b"aaaa")
        second = storage.write("key", b"bbbb")
        assert first != second
        assert [(b"bbbb", second)] == [(storage.read(found.key), found.version) for found in storage.list()]
