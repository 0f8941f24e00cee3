"""What every store promises of the bytes of an object: a hash that copies share, or none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import pytest

from tasks.domain.errors import KeyUnsafe, ObjectMissing
from tasks.storage.base import Storage
from tests.contracts.storage_base import StoreUnderTest

LARGE = 40 << 20


class ContentContract(StoreUnderTest):
    """Inherit, and say whether the store keeps hashes of what is written to it.

    Attributes:
        hashes: True where an object that was written in one piece has a hash.
    """

    hashes: ClassVar[bool] = True

    def content(self, storage: Storage, key: str) -> str:
        """The hash of what is there now."""
        return storage.content_hash(key, storage.stat(key).version)

    def test_copies_have_one_hash_and_others_have_another(self, storage: Storage) -> None:
        """Whatever their names; the empty object is an object too."""
        for key, data in (("a.mp4", b"film"), ("b/ü.mp4", b"film"), ("c.mp4", b"Film"), ("d.mp4", b"")):
            storage.write(key, data)
        one, copy, other, empty = (self.content(storage, key) for key in ("a.mp4", "b/ü.mp4", "c.mp4", "d.mp4"))
        if not self.hashes:
            assert {""} == {one, copy, other, empty}
            return
        assert one == copy
        assert 3 == len({one, other, empty})
        assert all(re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", text) for text in (one, other, empty))

    def test_a_large_upload_has_its_own_hash_or_none(self, storage: Storage, tmp_path: Path) -> None:
        """One that is of its parts, or of anything else, is never given for that of the whole."""
        source = tmp_path / "large"
        source.write_bytes(bytes(LARGE))
        storage.upload("large.mp4", source)
        storage.upload("copy.mp4", source)
        source.write_bytes(bytes(LARGE - 1) + b"x")
        storage.upload("other.mp4", source)
        one, copy, other = (self.content(storage, key) for key in ("large.mp4", "copy.mp4", "other.mp4"))
        assert one == copy
        assert one != other or one == ""

    def test_only_the_version_that_is_asked_for_counts(self, storage: Storage) -> None:
        """What was replaced or deleted since it was listed has no hash, and says so."""
        version = storage.write("a.mp4", b"film")
        storage.write("a.mp4", b"another film")
        with pytest.raises(ObjectMissing):
            storage.content_hash("a.mp4", version)
        storage.delete("a.mp4")
        with pytest.raises(ObjectMissing):
            storage.content_hash("a.mp4", version)

    def test_a_key_that_would_leave_the_root_has_none(self, storage: Storage) -> None:
        """As everywhere."""
        with pytest.raises(KeyUnsafe):
            storage.content_hash("a/../../b.mp4", "v")
