"""A folder says whether it can be written, and writes nothing to find out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.domain.errors import AccessDenied, LocationMissing, StorageUnavailable
from tasks.storage.local import LocalStorage


def test_a_folder_that_the_first_write_makes_may_be_written(tmp_path: Path) -> None:
    """With ``create``, what counts is the nearest folder that exists; nothing is made."""
    LocalStorage(tmp_path / "new" / "newer", create=True).check_write()
    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_nobody_makes_cannot_be_written(tmp_path: Path) -> None:
    """Without ``create``, a missing folder is missing."""
    with pytest.raises(LocationMissing, match="there is no folder"):
        LocalStorage(tmp_path / "new").check_write()


@pytest.mark.parametrize("below", ["", "/out"])
def test_a_file_in_the_way_is_found_before_the_first_write(tmp_path: Path, below: str) -> None:
    """A route whose folder is a file, or lies below one, is told so."""
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(LocationMissing, match="file is no folder"):
        LocalStorage(Path(f"{tmp_path}/file{below}"), create=True).check_write()


def test_a_folder_that_may_not_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may be root, who may write everywhere: the system's answer is played."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(AccessDenied, match="cannot be written") as caught:
        LocalStorage(tmp_path).check_write()
    assert "owns" in caught.value.hint


def test_a_full_disk_is_found_before_the_first_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is paid for whose results could not be kept."""
    real = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((*real[:4], 0, *real[5:10])))
    with pytest.raises(StorageUnavailable, match="is full"):
        LocalStorage(tmp_path).check_write()
