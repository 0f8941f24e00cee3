"""URIs find their store, and mistakes in them are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import available
from tasks.domain.errors import InputInvalid, LocationMissing
from tasks.storage.local import LocalStorage
from tasks.storage.loopback import FileUrlSigner
from tasks.storage.registry import SCHEMES, StorageOptions, open_storage, split_source_uri


@pytest.mark.parametrize("spelling", ["file://{}", "file://{}/"])
def test_a_folder_opens_with_and_without_its_slash(tmp_path: Path, spelling: str) -> None:
    """Both spellings are one root."""
    store = open_storage(spelling.format(tmp_path))
    assert isinstance(store, LocalStorage)
    assert f"file://{tmp_path}/" == store.root


def test_paths_are_taken_verbatim(tmp_path: Path) -> None:
    """Characters that mean something in web addresses mean nothing in a folder's name."""
    folder = tmp_path / "a b#c?d=%20&é"
    folder.mkdir()
    (folder / "x.mp4").touch()
    assert [f"file://{folder}/x.mp4"] == [found.uri for found in open_storage(f"file://{folder}").list()]


def test_the_whole_disk_is_a_root() -> None:
    """``file:///`` is a strange root, and a right one."""
    store = open_storage("file:///")
    assert "file:///" == store.root
    assert "file:///etc/hostname" == store.stat("etc/hostname").uri


def test_options_reach_the_folder(tmp_path: Path) -> None:
    """``create`` makes a missing output folder; the signer signs."""
    options = StorageOptions(create=True, url_signer=FileUrlSigner("http://127.0.0.1:1", b"secret"))
    store = open_storage(f"file://{tmp_path}/new/out", options)
    store.write("k", b"x")
    assert (tmp_path / "new/out/k").is_file()
    with pytest.raises(LocationMissing):
        list(open_storage(f"file://{tmp_path}/other").list())


def test_options_do_not_show_secrets() -> None:
    """Credentials and signing secrets stay out of the repr."""
    options = StorageOptions(credentials="hunter2", url_signer=FileUrlSigner("http://h", b"hunter2"))
    assert "hunter2" not in repr(options)


@pytest.mark.parametrize("uri", ["S3://bucket/x", "fille:///x", "ftp://host/x", "gcs://bucket"])
def test_unknown_schemes_are_refused_with_the_known_ones(uri: str) -> None:
    """A typo in the scheme names every scheme there is."""
    with pytest.raises(InputInvalid, match="unknown scheme") as caught:
        open_storage(uri)
    assert all(f"{scheme}://" in caught.value.hint for scheme in SCHEMES)


def test_the_nearest_scheme_is_suggested() -> None:
    """An obvious typo gets a guess, case included; a far one gets none."""
    with pytest.raises(InputInvalid) as caught:
        open_storage("Flie:///x")
    assert "did you mean file://?" in caught.value.hint
    with pytest.raises(InputInvalid) as caught:
        open_storage("http://host/x")
    assert "did you mean" not in caught.value.hint


@pytest.mark.parametrize("uri", ["", "videos/", "/abs/folder", "://x", "C:\\videos", "file:relative"])
def test_a_uri_needs_a_scheme(uri: str) -> None:
    """A bare path is refused with the way to write it."""
    with pytest.raises(InputInvalid, match="has no scheme") as caught:
        open_storage(uri)
    assert "file:///" in caught.value.hint


def test_a_relative_folder_is_refused() -> None:
    """Two slashes and a name would be a host."""
    with pytest.raises(InputInvalid, match="absolute") as caught:
        open_storage("file://videos/today")
    assert "file:///videos/today" in caught.value.hint


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "file://"])
def test_a_uri_names_a_container(uri: str) -> None:
    """Nothing after the scheme, or a slash at once, is no place."""
    with pytest.raises(InputInvalid):
        split_source_uri(uri)


def test_a_nul_in_a_uri_is_refused() -> None:
    """No file system holds it."""
    with pytest.raises(InputInvalid, match="NUL"):
        open_storage("file:///a\0b")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://bucket", ("s3://bucket/", "")),
        ("s3://bucket/", ("s3://bucket/", "")),
        ("s3://bucket/2026/", ("s3://bucket/2026/", "")),
        ("s3://bucket/2026/match-", ("s3://bucket/2026/", "match-")),
        ("s3://bucket/match-", ("s3://bucket/", "match-")),
        ("s3://bucket/a?b#c/d%20", ("s3://bucket/a?b#c/", "d%20")),
        ("s3://bucket//", ("s3://bucket//", "")),
        ("file:///videos", ("file:///videos/", "")),
        ("file:///videos/", ("file:///videos/", "")),
        ("file:///a/b", ("file:///a/b/", "")),
        ("file:///", ("file:///", "")),
    ],
)
def test_a_source_splits_into_root_and_prefix(uri: str, expected: tuple[str, str]) -> None:
    """The root ends at the last slash; a file URI is always a folder."""
    assert expected == split_source_uri(uri)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: not text.startswith("/")))
def test_splitting_a_bucket_uri_loses_nothing(rest: str) -> None:
    """Root and prefix put together are the URI, but for the slash that a bare bucket lacks."""
    root, prefix = split_source_uri(f"s3://{rest}")
    assert root.endswith("/")
    assert "/" not in prefix
    assert root + prefix in (f"s3://{rest}", f"s3://{rest}/")


def test_what_files_may_name_is_what_can_be_opened() -> None:
    """A cloud that stands in one list only would be refused in pipeline files, or fail in a run."""
    assert {name for name, scheme in available.SCHEMES.items() if scheme.available} == set(SCHEMES)
