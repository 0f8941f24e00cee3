"""The client of the hosted API keeps the contract, and says things as the API wants them said."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.domain.errors import (
    AccessDenied,
    AuthRefused,
    InputInvalid,
    ModelUnknown,
    RateLimited,
    ReelrouteError,
    ResultExpired,
    ServiceUnavailable,
    StorageUnavailable,
    SubmissionUnknown,
)
from tasks.domain.job import InferenceSpec, ModelRef
from tasks.domain.predictions import TaskType
from tasks.domain.video import SignedUrl
from tasks.inference.base import InferenceBackend, LocalVideo, ModelInfo
from tasks.inference.roboflow import MAX_CALLS, RoboflowClient
from tests.contracts.inference import (
    LARGEST_RESULT,
    MODEL,
    SPEC,
    VIDEO,
    InferenceContract,
    assert_discreet,
    job_of,
    left_in,
)
from tests.scripted_service import KEY, MARK, Fault, ScriptedService


def client(base_url: str, **options: object) -> RoboflowClient:
    """A client that does not wait long."""
    return RoboflowClient(base_url, SecretStr(KEY), timeout=httpx.Timeout(1, pool=None), **options)  # type: ignore[arg-type]


class TestRoboflowClient(InferenceContract):
    """Everything that is asked of a backend."""

    def open(self, service: ScriptedService) -> InferenceBackend:
        return client(service.base_url, max_result_bytes=LARGEST_RESULT)


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with ScriptedService() as service:
        yield service


@pytest.fixture
async def backend(service: ScriptedService) -> AsyncIterator[RoboflowClient]:
    backend = client(service.base_url)
    yield backend
    await backend.aclose()


@pytest.fixture
def patience() -> Iterator[None]:
    """Retries happen, but do not wait."""
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


# --- before anything is sent ------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr(" \n")])
def test_a_missing_key_is_named_before_anything_is_sent(key: SecretStr | None) -> None:
    """The error says which variable to set."""
    with pytest.raises(AuthRefused) as caught:
        RoboflowClient("http://127.0.0.1:1", key)
    assert "ROBOFLOW_API_KEY" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "", "api.roboflow.com", "ftp://x", "http://", "http://[x", "http://u:p@h",
        "http://h/?api_key=MARKED-SECRET", "http://h:x",
    ]
)  # fmt: skip
def test_an_address_must_be_plain(url: str) -> None:
    """What is no http(s) address, or holds a secret, is refused and not repeated in the message."""
    with pytest.raises(InputInvalid) as caught:
        RoboflowClient(url, SecretStr(KEY))
    assert_discreet(caught.value)


async def test_white_space_around_key_and_address_is_forgiven(service: ScriptedService) -> None:
    """A key read from a file ends in a newline; an address may end in a slash."""
    backend = RoboflowClient(f" {service.base_url}/ ", SecretStr(f"{KEY}\n"))
    assert await job_of(backend) == "job-1"
    assert service.base_url == backend.base_url
    await backend.aclose()


async def test_a_loopback_service_is_reached_past_a_proxy(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company proxy in the environment cannot reach this machine, and is not asked to."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    backend = client(service.base_url)
    assert await job_of(backend) == "job-1"
    await backend.aclose()


# --- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize(("fps", "sent"), [(5.0, "5"), (1.0, "1"), (2.5, "2.5"), (29.97, "29.97")])
async def test_whole_frame_rates_are_whole_numbers(
    service: ScriptedService, backend: RoboflowClient, fps: float, sent: str
) -> None:
    """5.0 goes out as 5."""
    await backend.submit(VIDEO, InferenceSpec("roboflow", (MODEL.ref,), fps), (MODEL,))
    assert f'"infer_fps":{sent},' in service.asked[0].body.decode()


async def test_every_kind_of_model_is_spelled_as_the_api_does(
    service: ScriptedService, backend: RoboflowClient
) -> None:
    """The confidence goes with trained models only; multi-label is a classification."""
    kinds = {
        "a/1": (TaskType.INSTANCE_SEGMENTATION, "instance-segmentation"),
        "b/2": (TaskType.KEYPOINT_DETECTION, "keypoint-detection"),
        "c/3": (TaskType.CLASSIFICATION, "classification"),
        "d/4": (TaskType.MULTILABEL_CLASSIFICATION, "classification"),
        "clip": (TaskType.EMBEDDING, "clip-embed-image"),
        "gaze": (TaskType.GAZE, "gaze-detection"),
    }
    models = tuple(ModelInfo(ModelRef.parse(name), task) for name, (task, _) in kinds.items())
    job_id = await backend.submit(VIDEO, InferenceSpec("roboflow", (), 5.0, 0.25), models)
    sent = service.jobs[job_id]["models"]
    assert [kind for _, kind in kinds.values()] == [entry["inference_type"] for entry in sent]
    assert [entry["model_version"] for entry in sent] == ["1", "2", "3", "4", "1", "1"]
    assert [entry.get("inference_params") for entry in sent] == [{"confidence": 0.25}] * 4 + [None] * 2


@pytest.mark.parametrize("task", [TaskType.SEMANTIC_SEGMENTATION, TaskType.NONE])
async def test_a_kind_that_video_inference_does_not_take_is_never_sent(
    service: ScriptedService, backend: RoboflowClient, task: TaskType
) -> None:
    """Nothing is asked, nothing is uploaded, nothing is paid."""
    with pytest.raises(ModelUnknown):
        await backend.submit(LocalVideo(Path("x.mp4"), "x"), SPEC, (ModelInfo(MODEL.ref, task),))
    assert service.asked == []


URL_TEXT = st.text("abcXYZ019-._~!$&()*+,;=:@/'[]|^{}\\%", max_size=40).map(lambda t: t.replace("%", "%2f"))


@given(path=URL_TEXT, query=URL_TEXT)
def test_signed_urls_go_out_byte_for_byte(path: str, query: str) -> None:
    """httpx leaves every character alone that a signed URL may hold; only backslashes and braces
    in a path, which no signer leaves unescaped, are not its own."""
    path = "".join(c for c in path if c not in "\\{}").replace("/.", "/")
    target = f"/p{path}?{query}"
    assert target == httpx.Request("GET", f"https://host{target}").url.raw_path.decode()


async def test_the_official_client_sends_the_same(service: ScriptedService, backend: RoboflowClient) -> None:
    """The roboflow SDK's own job request is equal to ours, field by field and type by type."""
    code = (
        "import sys; from roboflow.models.object_detection import ObjectDetectionModel as Model\n"
        "model = Model(sys.stdin.readline().strip(), 'acme/players-x1/2', version='2')\n"
        "job, url, _ = model.predict_video(sys.argv[1], fps=5, additional_models=['clip'])\n"
        "print(job, model.poll_for_video_results(job)['frame_offset'])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", code, VIDEO.url,
        env={**os.environ, "API_URL": service.base_url, "HOME": "/nonexistent"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate(f"{KEY}\n".encode())
    clip = ModelInfo(ModelRef.parse("clip"), TaskType.EMBEDDING)
    job_id = await backend.submit(VIDEO, SPEC, (MODEL, clip))
    assert output.decode().splitlines()[-1] == "job-1 [0, 5]"
    assert json.dumps(service.jobs["job-1"], sort_keys=True) == json.dumps(service.jobs[job_id], sort_keys=True)
    assert service.calls("submit")[0].target == service.calls("submit")[1].target


# --- what goes wrong ----------------------------------------------------------------------------

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


# --- many at once ---------------------------------------------------------------------------------


async def test_a_thousand_questions_at_once(service: ScriptedService, backend: RoboflowClient) -> None:
    """All are answered, over a bounded number of connections."""
    job_id = await job_of(backend)
    answers = await asyncio.gather(*(backend.check(job_id) for _ in range(1000)))
    assert sum(answer.done for answer in answers) == 1000
    assert service.connections <= 2 * (MAX_CALLS + 1)


async def test_submissions_never_share_a_connection(service: ScriptedService, backend: RoboflowClient) -> None:
    """A kept-alive connection may be closed under us; each submission opens its own."""
    for _ in range(5):
        await backend.check(await job_of(backend))
    assert (len(service.jobs), service.connections) == (5, 5 + 1)


async def test_cancelling_a_submission_is_heard(service: ScriptedService, backend: RoboflowClient) -> None:
    """A run that is told to stop does not wait for the answer (and the job is in doubt)."""
    service.script("submit", Fault(hang=True, acts=True))
    submission = asyncio.create_task(job_of(backend))
    await asyncio.to_thread(service.wait_for_job)
    submission.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submission
