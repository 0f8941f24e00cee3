"""LocalStorage keeps the contract; signing, and keys that would leave the root."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from tasks.domain.errors import (
    KeyUnsafe,
    NotSignable,
)
from tasks.storage import atomic
from tasks.storage.base import Storage
from tasks.storage.local import LocalStorage
from tests.contracts.storage import StorageContract
from tests.unit.tasks.storage.conftest import FileServer
from tests.unit.tasks.storage.folders import tree


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
