"""What the client of the hosted API makes of connections, answers and disks that fail."""

from __future__ import annotations

import asyncio
import json
import resource
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from tasks.domain.errors import (
    AccessDenied,
    AuthRefused,
    RateLimited,
    ReelrouteError,
    ResultExpired,
    ServiceUnavailable,
    StorageUnavailable,
    SubmissionUnknown,
)
from tasks.domain.video import SignedUrl
from tasks.inference.answers import Discretion
from tasks.inference.base import LocalVideo
from tasks.inference.roboflow import RoboflowClient
from tasks.inference.transfer import put_file
from tests.contracts.inference_samples import MODEL, SPEC, assert_discreet, job_of, left_in
from tests.scripted_service import KEY, MARK, Fault, ScriptedService
from tests.unit.tasks.inference.roboflow_client import client

# --- connections -----------------------------------------------------------------------------

NOT_SENT: list[type[httpx.RequestError]] = [
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
]
MAYBE_SENT: list[type[httpx.RequestError]] = [
    httpx.ReadError, httpx.ReadTimeout, httpx.WriteError, httpx.WriteTimeout,
    httpx.CloseError, httpx.RemoteProtocolError,
    httpx.LocalProtocolError, httpx.DecodingError,
]  # fmt: skip


def failing(kind: type[httpx.RequestError]) -> httpx.MockTransport:
    """A connection that always fails in one way, with secrets in its words."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise kind(f"{request.url} failed for {KEY}", request=request)

    return httpx.MockTransport(fail)


@pytest.mark.parametrize("kind", NOT_SENT)
async def test_a_request_that_never_left_is_worth_another_try(kind: type[httpx.RequestError]) -> None:
    """No connection, no job."""
    backend = client("http://h", transport=failing(kind))
    with pytest.raises(ServiceUnavailable) as caught:
        await job_of(backend)
    assert caught.type is ServiceUnavailable
    assert_discreet(caught.value)


@pytest.mark.parametrize("kind", MAYBE_SENT)
async def test_a_request_that_may_have_left_is_a_doubt(kind: type[httpx.RequestError]) -> None:
    """Every other transport error leaves open whether the service read the request."""
    backend = client("http://h", transport=failing(kind))
    with pytest.raises(SubmissionUnknown) as caught:
        await job_of(backend)
    assert_discreet(caught.value)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("kind", NOT_SENT + MAYBE_SENT)
async def test_no_question_leaks_or_ends_a_job(kind: type[httpx.RequestError], tmp_path: Path) -> None:
    """Asking and downloading are retryable whatever the connection does, and say no secret."""
    backend = client("http://h", transport=failing(kind))
    with pytest.raises(ServiceUnavailable) as asking:
        await backend.check("job-1")
    with pytest.raises(ServiceUnavailable) as fetching:
        await backend.download(SignedUrl(f"https://b/r.json?sig={MARK}", None), tmp_path / "r.json")
    assert_discreet(asking.value)
    assert_discreet(fetching.value)


def test_all_transport_errors_of_httpx_were_thought_of() -> None:
    """A new httpx with a new kind of error fails here, and not in the night."""

    def leaves(kind: type[Exception]) -> set[type[Exception]]:
        below = kind.__subclasses__()
        return set().union(*map(leaves, below)) if below else {kind}

    known = {*NOT_SENT, *MAYBE_SENT, httpx.TooManyRedirects}  # redirects are followed for results only
    assert {kind for kind in leaves(httpx.RequestError) if kind.__module__ == "httpx"} == known


# --- answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "wait_s"),
    [
        ("Sat, 21 Nov 2026 10:02:00 GMT", 120.0),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 0.0),
        ("Sat, 21 Nov 2026 10:00:30 -0000", 30.0),
    ],
)
async def test_a_wait_may_be_a_date(service: ScriptedService, date: str, wait_s: float) -> None:
    """``Retry-After`` as an HTTP date counts from now; the past is no wait."""
    backend = client(service.base_url, now=lambda: datetime(2026, 11, 21, 10, tzinfo=UTC))
    service.script("submit", Fault(429, (("Retry-After", date),)))
    with pytest.raises(RateLimited) as caught:
        await job_of(backend)
    assert wait_s == caught.value.retry_after_s
    await backend.aclose()


async def test_a_refusal_that_repeats_the_key_does_not_show_it(service: ScriptedService) -> None:
    """Services say "key abc is not known"; we say it without the key."""
    backend = RoboflowClient(service.base_url, SecretStr(f"other-{MARK}"))
    with pytest.raises(AuthRefused, match=r"key \*\*\* is not known") as caught:
        await job_of(backend)
    assert_discreet(caught.value)
    await backend.aclose()


async def test_long_and_unprintable_words_are_tamed(service: ScriptedService, backend: RoboflowClient) -> None:
    """A service's words end up in terminals and tables: one line, no control characters, not a page."""
    service.script("submit", Fault(400, body={"message": "a\x1b[31m\nb" + "x" * 5000}))
    with pytest.raises(ReelrouteError) as caught:
        await job_of(backend)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "http://", f"/r?sig={MARK}"])
async def test_only_web_addresses_are_downloaded(backend: RoboflowClient, tmp_path: Path, url: str) -> None:
    """A service cannot make us read something else than the web; asking again may give a better URL."""
    with pytest.raises(ResultExpired) as caught:
        await backend.download(SignedUrl(url, None), tmp_path / "r.json")
    assert_discreet(caught.value)


async def test_a_moved_result_is_followed_without_the_key(
    service: ScriptedService, backend: RoboflowClient, tmp_path: Path
) -> None:
    """Buckets redirect between regions; the redirect goes to the result alone."""
    service.script("result", Fault(307, (("Location", f"/bucket/elsewhere?sig={MARK}"),)))
    await backend.download(SignedUrl(f"{service.base_url}/bucket/r?sig=1", None), tmp_path / "r.json")
    assert ["/bucket/r?sig=1", f"/bucket/elsewhere?sig={MARK}"] == [asked.target for asked in service.asked]


def drip(parts: Iterable[bytes]) -> Callable[[StreamReader, StreamWriter], Awaitable[None]]:
    """A server that answers every request bit by bit, each sooner than a client would give up waiting for one."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()

    return serve


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize(
    "parts",
    [
        [OK, *[b"X-More: to come\r\n"] * 900],
        [b"HTTP/1.1 100 Continue\r\n\r\n"] * 900,
        [OK + b"Content-Length: 900\r\n\r\n{", *[b" "] * 898, b"}"],
    ],
    ids=["headers", "interim", "body"],
)
async def test_an_answer_that_drips_holds_nobody_up(parts: list[bytes], tmp_path: Path) -> None:
    """Each byte comes in time, the whole never would: a doubt for a submission, and later for all else."""
    server = await asyncio.start_server(drip(parts), "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        backend = RoboflowClient(url, SecretStr(KEY), timeout=httpx.Timeout(0.2, pool=None))
        with pytest.raises(SubmissionUnknown):
            await job_of(backend)
        with pytest.raises(ServiceUnavailable):
            await backend.check("job-1")
        with pytest.raises(ServiceUnavailable, match="too slow"):
            await backend.download(SignedUrl(f"{url}/r.json?sig={MARK}", None), tmp_path / "r.json")
        await backend.aclose()
    assert left_in(tmp_path) == []


async def test_a_bucket_that_takes_a_file_too_slowly_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is submitted; the video is tried again."""
    monkeypatch.setattr("tasks.inference.transfer.SLOWEST", 1 << 30)
    (tmp_path / "clip.mp4").write_bytes(b"abc")
    server = await asyncio.start_server(drip([OK, *[b"X-More: to come\r\n"] * 900]), "127.0.0.1", 0)
    async with server, httpx.AsyncClient(timeout=0.2, trust_env=False) as bucket:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/u?sig={MARK}"
        with pytest.raises(ServiceUnavailable, match=r"clip\.mp4: too slow"):
            await put_file(bucket, url, tmp_path / "clip.mp4", Discretion(SecretStr(KEY)), 0.6)


# --- files -----------------------------------------------------------------------------------


async def test_a_full_disk_in_mid_download(service: ScriptedService, backend: RoboflowClient, tmp_path: Path) -> None:
    """Nothing is left behind, the error is retryable, and the next download succeeds."""
    service.results = json.dumps({"frame_offset": list(range(100_000))}).encode()
    url = SignedUrl(f"{service.base_url}/bucket/r.json", None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the nearest thing to a full disk
    try:
        with pytest.raises(StorageUnavailable):
            await backend.download(url, tmp_path / "r.json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_in(tmp_path) == []
    assert len(service.results) == await backend.download(url, tmp_path / "r.json")


@pytest.mark.parametrize("size", [900, 1100, 2_000_000])
async def test_a_file_that_changes_while_it_is_uploaded(
    service: ScriptedService, backend: RoboflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """What would arrive cut short, or longer than announced, is not submitted."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"x" * 1000)
    first_seen = path.stat()
    path.write_bytes(b"x" * size)
    monkeypatch.setattr(Path, "stat", lambda self, **_: first_seen)
    with pytest.raises(StorageUnavailable, match="changed while"):
        await backend.submit(LocalVideo(path, "u.mp4"), SPEC, (MODEL,))
    assert service.jobs == {}


@pytest.mark.parametrize(
    ("error", "kind"),
    [(PermissionError(13, "Permission denied"), AccessDenied), (OSError(5, "I/O error"), StorageUnavailable)],
)
async def test_a_file_that_cannot_be_opened(
    service: ScriptedService,
    backend: RoboflowClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    kind: type[ReelrouteError],
) -> None:
    """Rights and disks are told apart; nothing is submitted."""

    def refuse(path: Path, mode: str) -> None:
        raise error

    (tmp_path / "clip.mp4").write_bytes(b"abc")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(kind, match=rf"clip\.mp4: {error.strerror}"):
        await backend.submit(LocalVideo(tmp_path / "clip.mp4", "u.mp4"), SPEC, (MODEL,))
    assert service.jobs == {}


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that opens and cannot be read")
async def test_a_disk_that_fails_in_mid_upload(service: ScriptedService, backend: RoboflowClient) -> None:
    """A read error is the disk's, not the service's."""
    with pytest.raises(StorageUnavailable, match="cannot read /proc/self/mem"):
        await backend.submit(LocalVideo(Path("/proc/self/mem"), "u.mp4"), SPEC, (MODEL,))
    assert service.jobs == {}
