"""Uploads on disk."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.services.inference.uploads import Uploads
from tasks.domain.errors import ObjectMissing, VideoTooLarge


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _broken() -> AsyncIterator[bytes]:
    yield b"half"
    raise ConnectionResetError


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path, max_bytes=3_000_000)


@pytest.mark.parametrize("sizes", [(), (0,), (1,), (1 << 20,), (1000,) * 2000, (3_000_000,)])
async def test_the_bytes_arrive_as_they_were_sent(uploads: Uploads, sizes: tuple[int, ...]) -> None:
    """Chunks of any size make the same file."""
    chunks = [os.urandom(size) for size in sizes]
    name = uploads.new_id()
    assert sum(sizes) == await uploads.receive(name, _chunks(*chunks))
    assert b"".join(chunks) == uploads.take(name).read_bytes()


async def test_one_byte_too_many_leaves_nothing(uploads: Uploads, tmp_path: Path) -> None:
    """A body without a declared length is cut off at the limit."""
    with pytest.raises(VideoTooLarge):
        await uploads.receive(uploads.new_id(), _chunks(b"x" * 3_000_000, b"x"))
    assert list((tmp_path / "uploads").iterdir()) == []


async def test_a_broken_upload_leaves_nothing_and_spoils_nothing(uploads: Uploads, tmp_path: Path) -> None:
    """A second PUT that breaks off keeps the first one whole."""
    name = uploads.new_id()
    await uploads.receive(name, _chunks(b"whole"))
    with pytest.raises(ConnectionResetError):
        await uploads.receive(name, _broken())
    assert uploads.take(name).read_bytes() == b"whole"
    assert len(list((tmp_path / "uploads").iterdir())) == 1


@pytest.mark.parametrize("name", ["", "..", "../jobs", "/etc/passwd", "a" * 32, "A" * 32, "\0"])
def test_only_names_of_our_own_making_are_taken(uploads: Uploads, name: str) -> None:
    """No name is ever a way out of the folder."""
    with pytest.raises(ObjectMissing):
        uploads.take(name)


async def test_use_renews_the_retention(uploads: Uploads) -> None:
    """An upload lives as long after its last job as after its arrival."""
    used, unused = uploads.new_id(), uploads.new_id()
    for name in (used, unused):
        await uploads.receive(name, _chunks(b"x"))
        os.utime(uploads.take(name), (0, 0))
    uploads.take(used)
    assert uploads.prune(datetime.now(UTC) - timedelta(days=1)) == 1
    assert uploads.take(used).is_file()
    with pytest.raises(ObjectMissing):
        uploads.take(unused)
