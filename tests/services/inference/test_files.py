"""Files of allowed folders, given out by signed URL."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from deployments.services.inference.settings import ServiceSettings
from tasks.storage.loopback import file_url_secret, sign_file_url
from tests.services.inference.api_calls import BASE
from tests.services.inference.conftest import API_KEY, TurnableClock

HOUR = timedelta(hours=1)


def _url(path: Path, clock: TurnableClock, key: str = API_KEY) -> str:
    return sign_file_url(BASE, file_url_secret(key), path, clock.now + HOUR)


@pytest.mark.parametrize(
    "name",
    [
        "a.mp4",
        "100%.mp4",
        "%41.mp4",
        "#1?x=2&y.mp4",
        "a+b c;d.mp4",
        "line\nbreak\n",
        "日本語.mp4",
        "\u00e9.mp4",
        "e\u0301.mp4",
        b"\xff\xfe.mp4",
    ],
)
async def test_a_file_of_any_name_is_given_out(
    anonymous: httpx.AsyncClient, videos: Path, clock: TurnableClock, name: str | bytes
) -> None:
    """The bytes of the name survive URL, server and signature."""
    path = videos / os.fsdecode(name)
    path.write_bytes(b"0123456789")
    response = await anonymous.get(_url(path, clock))
    assert response.status_code == 200
    assert response.content == b"0123456789"


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
    ],
)
async def test_ranges_are_served(
    anonymous: httpx.AsyncClient,
    videos: Path,
    clock: TurnableClock,
    asked: str,
    status: int,
    body: bytes,
    content_range: str,
) -> None:
    """Decoders seek."""
    (videos / "a.mp4").write_bytes(b"0123456789")
    response = await anonymous.get(_url(videos / "a.mp4", clock), headers={"Range": asked})
    assert (response.status_code, response.content, response.headers["content-range"]) == (status, body, content_range)


async def test_head_tells_the_size(anonymous: httpx.AsyncClient, videos: Path, clock: TurnableClock) -> None:
    """Without a body."""
    (videos / "a.mp4").write_bytes(b"0123456789")
    response = await anonymous.head(_url(videos / "a.mp4", clock))
    assert (response.status_code, response.headers["content-length"], response.content) == (200, "10", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_files_are_only_read(
    anonymous: httpx.AsyncClient, videos: Path, clock: TurnableClock, method: str
) -> None:
    """A signed URL is no way to change a file."""
    (videos / "a.mp4").write_bytes(b"x")
    assert (await anonymous.request(method, _url(videos / "a.mp4", clock))).status_code == 405


async def test_what_is_not_signed_right_is_403(
    anonymous: httpx.AsyncClient, videos: Path, clock: TurnableClock
) -> None:
    """By nobody, by another key, for another file, or too long ago; the API key does not help."""
    for name in ("a.mp4", "b.mp4"):
        (videos / name).write_bytes(b"x")
    url = _url(videos / "a.mp4", clock)
    plain = url.partition("?")[0]
    wrong = [plain, f"{plain}?api_key={API_KEY}", _url(videos / "a.mp4", clock, "other"), url.replace("a.mp4", "b.mp4")]
    for refused in wrong:
        response = await anonymous.get(refused)
        assert response.status_code == 403
        assert response.json()["error"] == "access_denied"
    clock.advance(HOUR)
    assert (await anonymous.get(url)).status_code == 403


async def test_signed_or_not_nothing_outside_is_given_out(
    anonymous: httpx.AsyncClient, videos: Path, tmp_path: Path, clock: TurnableClock, settings: ServiceSettings
) -> None:
    """The state folder neither, nor what a symlink points to."""
    outside = tmp_path / "secret.txt"
    outside.touch()
    (videos / "link.mp4").symlink_to(outside)
    for path in (outside, videos / "link.mp4", settings.state_dir / "jobs", tmp_path / "missing"):
        assert (await anonymous.get(_url(path, clock))).status_code == 403
    for path in (videos / "missing.mp4", videos / "a.mp4" / "b"):
        response = await anonymous.get(_url(path, clock))
        assert response.status_code == 404
        assert response.json()["error"] == "object_missing"


async def test_an_empty_file_is_given_out(anonymous: httpx.AsyncClient, videos: Path, clock: TurnableClock) -> None:
    """It is the engine that says what is wrong with it."""
    (videos / "empty.mp4").touch()
    response = await anonymous.get(_url(videos / "empty.mp4", clock))
    assert (response.status_code, response.content) == (200, b"")
