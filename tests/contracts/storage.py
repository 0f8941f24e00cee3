"""What every store promises. A store's test class inherits this and says how to open it.

    class TestLocalStorage(StorageContract):
        refused_keys = frozenset({...})

        @pytest.fixture
        def storage(self, ...) -> Storage: ...

Deviations are named, never skipped in silence: a refused key must raise ``KeyUnsafe``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.domain.errors import KeyUnsafe, ObjectMissing, PreconditionFailed
from tasks.storage.base import ObjectInfo, Storage

# Every one of these is a legal key in S3, GCS and Azure.
SPECIAL_KEYS = (
    "plain.mp4",
    "deep/er/and/deep/er.mp4",
    "with space.mp4",
    " leading and trailing space ",
    "plus+plus.mp4",
    "percent%20encoded%2F.mp4",
    "50%.mp4",
    "hash#tag.mp4",
    "question?mark=1&b=2.mp4",
    "amp&er;sand.mp4",
    "quote'single.mp4",
    'quote"double.mp4',
    "back\\slash.mp4",
    "paren(1)!*~;,@$=.mp4",
    "colon:pipe|angle<>.mp4",
    "brace{x}[y]^`.mp4",
    "-leading-dash.mp4",
    ".hidden/.mp4",
    "dots.../...x.mp4",
    "tab\tand\nnewline.mp4",
    "caf\u00e9-nfc.mp4",
    "cafe\u0301-nfd.mp4",
    "日本/動画.mp4",
    "emoji-🎥👩‍👩‍👧.mp4",
    "עברית.mp4",
    "double//slash.mp4",
    "/leading-slash.mp4",
    "trailing-slash/",
    "/".join(["x" * 99] * 10) + "x",
)
UNSAFE_KEYS = ("", "../../etc/passwd", "a/../../b", "..", "a/..", "./a", "a/./b", "nul\0.mp4")
REWRITERS = 40

key_segments = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20
).filter(lambda text: text not in (".", ".."))
keys = st.lists(key_segments, min_size=1, max_size=4).map("/".join)


class StorageContract:
    """Inherit, and give a ``storage`` fixture: an empty store that may be written to.

    Attributes:
        refused_keys: Those of ``SPECIAL_KEYS`` that this store cannot hold and refuses.
        shadowed_keys: Keys that cannot exist beside ``a/b/c``.
        many: Objects in the paging test; more than two pages of the service.
        fetchable: False where a signed URL cannot be fetched from the test machine.
    """

    refused_keys: ClassVar[frozenset[str]] = frozenset()
    shadowed_keys: ClassVar[frozenset[str]] = frozenset()
    many: ClassVar[int] = 2_500
    fetchable: ClassVar[bool] = True

    @pytest.fixture
    def storage(self) -> Storage:
        raise NotImplementedError

    # --- one object -----------------------------------------------------------------------

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

    # --- compare and set ------------------------------------------------------------------

    def test_create_only_if_absent(self, storage: Storage) -> None:
        """``if_match=""`` writes once; the loser changes nothing."""
        storage.write("new", b"mine", if_match="")
        with pytest.raises(PreconditionFailed):
            storage.write("new", b"theirs", if_match="")
        assert b"mine" == storage.read("new")

    def test_replace_only_what_was_read(self, storage: Storage) -> None:
        """A version as ``if_match`` holds for exactly that version, and for no object that is gone."""
        first = storage.write("key", b"1")
        second = storage.write("key", b"2", if_match=first)
        with pytest.raises(PreconditionFailed):
            storage.write("key", b"3", if_match=first)
        assert b"2" == storage.read("key")
        storage.delete("key")
        with pytest.raises(PreconditionFailed):
            storage.write("key", b"4", if_match=second)
        with pytest.raises(ObjectMissing):
            storage.stat("key")

    def test_one_of_many_creators_wins(self, storage: Storage) -> None:
        """Of writers that create one key at once, one succeeds and its bytes stay."""

        def create(number: int) -> bool:
            try:
                storage.write("race", str(number).encode(), if_match="")
            except PreconditionFailed:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(create, range(16)))
        assert 1 == sum(won)
        assert str(won.index(True)).encode() == storage.read("race")

    def test_no_update_is_lost_between_rewriters(self, storage: Storage) -> None:
        """Forty writers that each add themselves to one JSON list all end up in it."""
        storage.write("list.json", b"[]")

        def add(number: int) -> None:
            while True:
                version = storage.stat("list.json").version
                members = json.loads(storage.read("list.json"))
                # One length throughout: size alone must not be what tells versions apart.
                data = json.dumps([*members, number]).ljust(1_000).encode()
                try:
                    storage.write("list.json", data, if_match=version)
                except PreconditionFailed:
                    continue
                return

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(REWRITERS)))
        assert list(range(REWRITERS)) == sorted(json.loads(storage.read("list.json")))

    def test_readers_see_whole_objects(self, storage: Storage) -> None:
        """While an object is rewritten again and again, every read gives one of its contents, whole."""
        contents = {bytes([letter]) * 200_000 for letter in b"ab"}
        storage.write("key", b"a" * 200_000)
        stop = threading.Event()
        seen: list[bytes] = []

        def read() -> None:
            while not stop.is_set():
                seen.append(storage.read("key"))

        reader = threading.Thread(target=read)
        reader.start()
        for data in itertools.islice(itertools.cycle(sorted(contents)), 50):
            storage.write("key", data)
        stop.set()
        reader.join()
        assert seen
        assert set(seen) <= contents

    # --- many objects ---------------------------------------------------------------------

    def test_prefixes_are_plain_text(self, storage: Storage) -> None:
        """A prefix selects keys by their beginning, across and inside of folder names."""
        # A store that is a file system cannot hold both "a" and "a/b".
        every = ("a", "a!", "a/b", "a/b/c", "ab/c", "b")
        names = [name for name in every if name not in self.shadowed_keys]
        for name in names:
            storage.write(name, b"x")
        for prefix in ("", "a", "a/", "a/b", "ab", "ab/c", "ab/cd", "b", "zz", "a/b/"):
            expected = sorted(name for name in names if name.startswith(prefix))
            assert expected == sorted(found.key for found in storage.list(prefix)), prefix

    def test_listing_goes_on_past_a_page(self, storage: Storage) -> None:
        """Every one of many objects is listed once, in more than one folder."""
        wanted = {f"{number % 7}/{number:05}.json": str(number).encode() for number in range(self.many)}
        assert self.many == storage.write_many(iter(wanted.items()), content_type="application/json")
        found = list(storage.list())
        assert sorted(wanted) == sorted(each.key for each in found)
        assert {len(data) for data in wanted.values()} == {each.size for each in found}
        assert wanted["3/00003.json"] == storage.read("3/00003.json")

    def test_listing_is_lazy(self, storage: Storage) -> None:
        """A listing can be left after its first object."""
        storage.write_many(((f"{number}", b"x") for number in range(10)), content_type="text/plain")
        listing = storage.list()
        assert isinstance(next(iter(listing)), ObjectInfo)

    def test_write_many_takes_items_as_it_needs_them(self, storage: Storage) -> None:
        """The iterator is never read far ahead of what is written."""
        ahead: list[int] = []

        def items() -> Iterator[tuple[str, bytes]]:
            for number in range(600):
                if number % 100 == 0:
                    ahead.append(number - sum(1 for _ in storage.list()))
                yield f"{number:04}", b"x"

        assert 600 == storage.write_many(items(), content_type="text/plain")
        assert max(ahead) < 300

    def test_write_many_raises_the_first_failure(self, storage: Storage) -> None:
        """A bad key ends the batch with its own error; what was written before is whole."""
        items = [("good", b"x" * 1000), ("a/../b", b"x")]
        with pytest.raises(KeyUnsafe):
            storage.write_many(iter(items), content_type="text/plain")
        assert {1000} >= {found.size for found in storage.list()}

    def test_write_many_passes_on_the_iterators_error(self, storage: Storage) -> None:
        """An error of whoever makes the items comes through, and is not mistaken for the end."""

        def items() -> Iterator[tuple[str, bytes]]:
            yield "first", b"x"
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            storage.write_many(items(), content_type="text/plain")

    def test_write_many_of_nothing(self, storage: Storage) -> None:
        """No items, no objects."""
        assert 0 == storage.write_many(iter(()), content_type="text/plain")

    @given(names=st.sets(keys, min_size=1, max_size=8), data=st.binary(max_size=50))
    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    def test_any_names_round_trip(self, storage: Storage, names: set[str], data: bytes) -> None:
        """Whatever a set of keys looks like: what is written is listed and read, nothing else."""
        for found in list(storage.list()):
            storage.delete(found.key)
        written = set()
        for name in names:
            try:
                storage.write(name, data)
            except KeyUnsafe:
                continue
            written.add(name)
        assert written == {found.key for found in storage.list()}
        for name in written:
            assert data == storage.read(name)

    def test_asking_for_the_right_to_write_writes_nothing(self, storage: Storage) -> None:
        """A store that can be written says so by not complaining, and stays as empty as it was."""
        storage.check_write()
        assert [] == list(storage.list())
        storage.write("there", b"x")
        storage.check_write()
        assert ["there"] == [found.key for found in storage.list()]

    # --- signed URLs ----------------------------------------------------------------------

    @pytest.mark.parametrize("key", SPECIAL_KEYS)
    def test_a_signed_url_gives_the_object(self, storage: Storage, key: str) -> None:
        """The URL of any key is fetched as it is, whole and in ranges."""
        if key in self.refused_keys or not self.fetchable:
            return
        storage.write(key, b"0123456789")
        signed = storage.sign(key, timedelta(minutes=10))
        assert b"0123456789" == httpx.get(signed.url).content
        part = httpx.get(signed.url, headers={"Range": "bytes=2-4"})
        assert (206, b"234") == (part.status_code, part.content)

    def test_a_signed_url_says_when_it_ends(self, storage: Storage) -> None:
        """The expiry is what was asked for, or earlier."""
        storage.write("key", b"x")
        asked = datetime.now(UTC) + timedelta(hours=1)
        expires_at = storage.sign("key", timedelta(hours=1)).expires_at
        assert expires_at is not None
        assert timedelta(seconds=-5) <= expires_at - asked <= timedelta(seconds=5)

    def test_a_lifetime_must_be_positive(self, storage: Storage) -> None:
        """A URL that was never valid is refused here, not by whoever fetches it."""
        with pytest.raises(ValueError, match="lifetime"):
            storage.sign("key", timedelta(0))

    def test_a_signed_url_is_for_one_object_and_reading_only(self, storage: Storage) -> None:
        """Another key, a changed signature or a PUT are refused, and the object stays as it is."""
        storage.write("key-1", b"one")
        storage.write("key-2", b"two")
        url = storage.sign("key-1", timedelta(minutes=10)).url
        if not self.fetchable:
            return
        assert 400 <= httpx.get(url.replace("key-1", "key-2")).status_code < 500
        last = url[-1]
        assert 400 <= httpx.get(url[:-1] + ("1" if last == "0" else "0")).status_code < 500
        assert 400 <= httpx.put(url, content=b"three").status_code
        assert (b"one", b"two") == (storage.read("key-1"), storage.read("key-2"))

    def test_a_signed_url_is_not_shown(self, storage: Storage) -> None:
        """Neither the signed URL's repr nor the store's gives the secret part away."""
        storage.write("key", b"x")
        signed = storage.sign("key", timedelta(minutes=10))
        secret_part = signed.url.partition("?")[2]
        assert secret_part not in repr(signed)
        assert secret_part not in str(signed)
        assert secret_part not in repr(storage)
