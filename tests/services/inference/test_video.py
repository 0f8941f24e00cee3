"""The Video Inference API over HTTP: upload, submit, poll, download; no workers run here."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from deployments.services.inference.jobs import Claim
from deployments.services.inference.service import Service
from tasks.storage.loopback import file_url_secret, sign_file_url
from tests.services.inference.conftest import API_KEY, TurnableClock

OIDV4 = {"model_id": "oidv4", "model_version": "1", "inference_type": "object-detection"}
SORTING = {"model_id": "sorting", "model_version": "1", "inference_type": "classification"}
BASE = "http://service.test:9001"


@pytest.fixture
def service(app: FastAPI) -> Service:
    service: Service = app.state.service
    return service


def _job(**changes: Any) -> dict[str, Any]:
    return {"input_url": "https://bucket.test/a.mp4?sig=s3cret", "infer_fps": 5, "models": [OIDV4], **changes}


async def _upload_url(client: httpx.AsyncClient) -> str:
    response = await client.post("/video_upload_signed_url", json={"file_name": "a.mp4"})
    url: str = response.json()["signed_url"]
    return url


async def _put(client: httpx.AsyncClient, url: str, content: bytes = b"video") -> httpx.Response:
    client.params = httpx.QueryParams()
    response = await client.put(url, content=content)
    client.params = httpx.QueryParams({"api_key": API_KEY})
    return response


def _claimed(service: Service) -> Claim:
    claim = service.store.claim()
    assert claim is not None
    return claim


class TestSubmitting:
    @pytest.mark.parametrize("path", ["/videoinfer/", "/videoinfer"])
    @pytest.mark.parametrize("version", ["1", 1])
    async def test_a_job_is_queued_as_it_was_asked(
        self, client: httpx.AsyncClient, service: Service, path: str, version: str | int
    ) -> None:
        """The URL reaches the worker byte for byte; versions are text or numbers."""
        model = OIDV4 | {"model_version": version, "inference_params": {"confidence": 0.25}}
        url = "https://bucket.test/a%2Fb%20c+d.mp4?X-Amz-Signature=1%2F2%3D&x=%c3%a9"
        response = await client.post(path, json=_job(input_url=url, infer_fps=29.97, models=[model]))
        assert response.status_code == 200
        claim = _claimed(service)
        assert response.json()["job_id"] == claim.job_id
        assert (claim.request.url, claim.request.path, claim.request.fps) == (url, "", 29.97)
        assert (claim.request.models, claim.request.confidence) == ({"oidv4": "/models/oidv4.onnx"}, 0.25)

    async def test_several_models_make_one_job(self, client: httpx.AsyncClient, service: Service) -> None:
        """In the order in which they were named."""
        await client.post("/videoinfer/", json=_job(models=[SORTING, OIDV4 | {"inference_params": None}]))
        request = _claimed(service).request
        assert list(request.models) == ["sorting", "oidv4"]
        assert request.confidence is None

    @pytest.mark.parametrize("fps", [0, -1, 120.5, 1e400, "5", None, True])
    async def test_a_frame_rate_that_cannot_be_is_refused(self, client: httpx.AsyncClient, fps: Any) -> None:
        """More than 0, at most 120, and a number."""
        response = await client.post("/videoinfer/", content=json.dumps(_job(infer_fps=fps)))
        assert response.status_code == 400
        assert response.json()["error"] == "input_invalid"
        assert "infer_fps" in response.json()["message"]

    @pytest.mark.parametrize("fps", [120, 0.1, 5.0])
    async def test_the_bounds_of_the_frame_rate_are_taken(self, client: httpx.AsyncClient, fps: float) -> None:
        """Whether the video has so many frames is seen when it is read."""
        assert (await client.post("/videoinfer/", json=_job(infer_fps=fps))).status_code == 200

    @pytest.mark.parametrize(
        ("model", "word"),
        [
            (OIDV4 | {"model_id": "nope"}, "oidv4/1"),
            (OIDV4 | {"model_version": "2"}, "oidv4/1"),
            (OIDV4 | {"model_version": 10**30}, "oidv4/1"),
            (OIDV4 | {"inference_type": "classification"}, "object-detection"),
            ({"model_id": "clip", "model_version": "1", "inference_type": "clip-embed-image"}, "hosted"),
            ({"model_id": "gaze", "model_version": "1", "inference_type": "gaze-detection"}, "hosted"),
        ],
    )
    async def test_a_model_that_is_not_here_is_refused(
        self, client: httpx.AsyncClient, service: Service, model: dict[str, Any], word: str
    ) -> None:
        """Before anything is queued, with what there is instead."""
        response = await client.post("/videoinfer/", json=_job(models=[OIDV4, model]))
        assert response.status_code == 400
        assert response.json()["error"] == "model_unknown"
        assert word in response.json()["message"] + response.json()["hint"]
        assert service.store.pending_count() == 0

    @pytest.mark.parametrize(
        "wrong",
        [
            {"models": []},
            {"models": "oidv4"},
            {"models": [OIDV4, OIDV4]},
            {"models": [{}]},
            {"models": [OIDV4 | {"model_version": None}]},
            {"models": [OIDV4 | {"model_version": 1.5}]},
            {"models": [OIDV4 | {"inference_params": {"confidence": 1.5}}]},
            {"models": [OIDV4 | {"inference_params": {"confidence": "0.4"}}]},
            {"models": [OIDV4 | {"inference_params": {"overlap": 0.4}}]},
            {"models": [OIDV4 | {"inference_params": {"confidence": 0.1}}, SORTING]},
            {"input_url": ""},
            {"input_url": None},
            {"input_url": "https://bucket.test/" + "a" * 17000},
        ],
    )
    async def test_a_body_that_makes_no_sense_is_refused(self, client: httpx.AsyncClient, wrong: Any) -> None:
        """Also a setting that we would otherwise ignore in silence."""
        response = await client.post("/videoinfer/", json=_job(**wrong))
        assert response.status_code == 400
        assert response.json()["error"] == "input_invalid"

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"input_url": NaN}', b" " * 1_100_000])
    async def test_what_is_not_json_is_refused(self, client: httpx.AsyncClient, body: bytes) -> None:
        """And so is more of it than any request needs."""
        response = await client.post("/videoinfer/", content=body)
        assert response.status_code == 400
        assert response.json()["error"] == "input_invalid"

    async def test_a_refusal_does_not_repeat_the_url(self, client: httpx.AsyncClient) -> None:
        """Error texts end up in logs."""
        for wrong in ({"infer_fps": 0}, {"input_url": "ftp://h/?sig=s3cret"}, {"input_url": ["https://h/?sig=s3cret"]}):
            assert "s3cret" not in (await client.post("/videoinfer/", json=_job(**wrong))).text


class TestInputUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "a.mp4",
            "//host/a.mp4",
            "http:///a.mp4",
            "http://h:99999/",
            "http://h:0/",
            "http://[::1/",
            "s3://bucket/a.mp4",
            "data:,x",
            "https://h/a b",
            "https://h/a\nb",
            "\thttps://h/",
            "file://elsewhere/a.mp4",
            "file:///a.mp4?x=1",
            "file:a.mp4",
            "file:///a%00.mp4",
        ],
    )
    async def test_what_cannot_be_fetched_is_refused(self, client: httpx.AsyncClient, url: str) -> None:
        """At once, not after an hour in the queue."""
        response = await client.post("/videoinfer/", json=_job(input_url=url))
        assert response.status_code == 400
        assert response.json()["error"] == "input_invalid"

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "10.1.2.3:8000",
            "169.254.169.254",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "localhost",
            "LocalHost.",
            "0.0.0.0",
        ],
    )
    async def test_a_private_address_is_refused(self, client: httpx.AsyncClient, host: str) -> None:
        """The service is no way into its own network."""
        response = await client.post("/videoinfer/", json=_job(input_url=f"http://{host}/a.mp4"))
        assert response.status_code == 400
        assert response.json()["error"] == "access_denied"

    async def test_a_file_of_an_allowed_folder_is_taken(
        self, client: httpx.AsyncClient, service: Service, videos: Path
    ) -> None:
        """File URLs are percent-decoded, as everywhere."""
        video = videos / "a b%é.mp4"
        video.touch()
        response = await client.post("/videoinfer/", json=_job(input_url=video.as_uri()))
        assert response.status_code == 200
        assert _claimed(service).request.path == str(video)

    async def test_no_way_leads_out_of_the_allowed_folders(
        self, client: httpx.AsyncClient, videos: Path, tmp_path: Path
    ) -> None:
        """Neither dots nor symlinks; and nobody learns what exists outside."""
        outside = tmp_path / "secret.mp4"
        outside.touch()
        (videos / "link.mp4").symlink_to(outside)
        (videos / "loop").symlink_to("loop")
        near = tmp_path / "videos-of-others"
        near.mkdir()
        for name in (outside, tmp_path / "missing.mp4", videos / "../secret.mp4", videos / "link.mp4", near / "a.mp4"):
            response = await client.post("/videoinfer/", json=_job(input_url=f"file://{name}"))
            assert (response.status_code, response.json()["error"]) == (400, "access_denied")
        for name in (videos, videos / "missing.mp4", videos / "loop" / "a.mp4"):
            response = await client.post("/videoinfer/", json=_job(input_url=f"file://{name}"))
            assert (response.status_code, response.json()["error"]) == (400, "object_missing")

    async def test_our_own_file_urls_become_paths(
        self, client: httpx.AsyncClient, service: Service, videos: Path, clock: TurnableClock
    ) -> None:
        """No request goes out, so the job does not depend on this process or its port."""
        video = videos / "100% #1?+\n.mp4"
        video.touch()
        url = sign_file_url(BASE, file_url_secret(API_KEY), video, clock.now + timedelta(minutes=1))
        assert (await client.post("/videoinfer/", json=_job(input_url=url))).status_code == 200
        assert _claimed(service).request.path == str(video)
        clock.advance(timedelta(minutes=1))
        response = await client.post("/videoinfer/", json=_job(input_url=url))
        assert response.status_code == 400
        assert response.json()["error"] == "access_denied"

    async def test_other_pages_of_ours_are_no_videos(self, client: httpx.AsyncClient) -> None:
        """The service does not call itself."""
        response = await client.post("/videoinfer/", json=_job(input_url=f"{BASE}/local/oidv4?api_key={API_KEY}"))
        assert response.json()["error"] == "input_invalid"

    async def test_the_same_path_on_another_host_is_an_ordinary_url(
        self, client: httpx.AsyncClient, service: Service
    ) -> None:
        """Only our own address is short-cut to the disk."""
        url = "http://service.test:9002/uploads/x"
        await client.post("/videoinfer/", json=_job(input_url=url))
        assert _claimed(service).request.url == url


class TestUploading:
    @pytest.mark.parametrize("name", ["a.mp4", "../../etc/passwd", "/etc/passwd", "..", "a/b\\c\0.mp4", "ü" * 5000])
    @pytest.mark.parametrize("path", ["/video_upload_signed_url", "/video_upload_signed_url/"])
    async def test_the_callers_name_is_never_a_path(
        self, client: httpx.AsyncClient, service: Service, tmp_path: Path, name: str, path: str
    ) -> None:
        """Whatever the name, the video lands in the uploads folder and can be submitted."""
        url = (await client.post(path, json={"file_name": name})).json()["signed_url"]
        assert "&X-Goog-Expires=3600&" in url
        assert (await _put(client, url)).status_code == 200
        assert (await client.post("/videoinfer/", json=_job(input_url=url))).status_code == 200
        (stored,) = (tmp_path / "state" / "uploads").iterdir()
        assert _claimed(service).request.path == str(stored)
        assert stored.read_bytes() == b"video"

    @pytest.mark.parametrize("body", [{}, {"file_name": ""}, {"file_name": 1}, []])
    async def test_a_name_must_be_given(self, client: httpx.AsyncClient, body: Any) -> None:
        """As the hosted service asks."""
        assert (await client.post("/video_upload_signed_url", json=body)).status_code == 400

    async def test_an_expired_url_takes_no_upload(self, client: httpx.AsyncClient, clock: TurnableClock) -> None:
        """After an hour; but what was uploaded by then can still be submitted."""
        url, late = await _upload_url(client), await _upload_url(client)
        await _put(client, url)
        clock.advance(timedelta(hours=1))
        response = await _put(client, late)
        assert response.status_code == 403
        assert response.json()["error"] == "access_denied"
        assert (await client.post("/videoinfer/", json=_job(input_url=url))).status_code == 200

    @pytest.mark.parametrize(
        "change",
        [
            lambda url: url.replace("Expires=3600", "Expires=999999"),
            lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
            lambda url: url.partition("?")[0],
            lambda url: url.replace("/uploads/", "/uploads/a"),
            lambda url: url.replace("/uploads/", "/uploads/%2e%2e%2f"),
        ],
    )
    async def test_a_changed_url_takes_no_upload_and_makes_no_job(
        self, client: httpx.AsyncClient, tmp_path: Path, change: Callable[[str], str]
    ) -> None:
        """Nothing is written."""
        url = change(await _upload_url(client))
        assert (await _put(client, url)).status_code in (403, 404)
        assert list((tmp_path / "state" / "uploads").iterdir()) == []
        response = await client.post("/videoinfer/", json=_job(input_url=url))
        assert response.status_code == 400

    async def test_a_video_over_the_limit_is_not_taken(self, client: httpx.AsyncClient, tmp_path: Path) -> None:
        """With a declared length at once, without one when the limit is passed."""

        async def undeclared() -> Any:
            for _ in range(11):
                yield b"x" * 100

        url = await _upload_url(client)
        assert (await _put(client, url, b"x" * 1000)).status_code == 200
        for body in (b"x" * 1001, undeclared()):
            response = await _put(client, url, body)
            assert response.status_code == 413
            assert response.json()["error"] == "video_too_large"
        (stored,) = (tmp_path / "state" / "uploads").iterdir()
        assert stored.stat().st_size == 1000

    async def test_a_job_of_an_upload_that_never_came_is_refused(self, client: httpx.AsyncClient) -> None:
        """It would only fail later."""
        response = await client.post("/videoinfer/", json=_job(input_url=await _upload_url(client)))
        assert response.status_code == 400
        assert response.json()["error"] == "object_missing"


class TestPollingAndDownloading:
    @pytest.mark.parametrize("path", ["/videoinfer/", "/videoinfer"])
    async def test_a_job_that_waits_or_runs_says_so(
        self, client: httpx.AsyncClient, service: Service, path: str
    ) -> None:
        """Status 1, before and after a worker takes it."""
        job_id = (await client.post("/videoinfer/", json=_job())).json()["job_id"]
        assert (await client.get(path, params={"job_id": job_id})).json()["status"] == 1
        _claimed(service)
        assert (await client.get(path, params={"job_id": job_id})).json()["status"] == 1

    async def test_a_failed_job_says_why(self, client: httpx.AsyncClient, service: Service) -> None:
        """Status 2 with our code, for the hosted service has none."""
        job_id = (await client.post("/videoinfer/", json=_job())).json()["job_id"]
        service.store.fail(_claimed(service), "fps_too_high", "30 of 25", "lower it")
        answer = await client.get("/videoinfer/", params={"job_id": job_id})
        assert answer.status_code == 200
        assert answer.json() == {
            "status": 2, "job_id": job_id, "error": "fps_too_high", "message": "30 of 25", "hint": "lower it"
        }  # fmt: skip

    @pytest.mark.parametrize("params", [{}, {"job_id": ""}, {"job_id": "../x"}, {"job_id": "0" * 36}])
    async def test_an_unknown_job_is_404(self, client: httpx.AsyncClient, params: dict[str, str]) -> None:
        """With a code that clients tell from other errors."""
        response = await client.get("/videoinfer/", params=params)
        assert response.status_code == 404
        assert response.json()["error"] == "job_unknown"

    async def _done(self, client: httpx.AsyncClient, service: Service, content: bytes = b"{}") -> str:
        job_id: str = (await client.post("/videoinfer/", json=_job())).json()["job_id"]
        claim = _claimed(service)
        claim.scratch.write_bytes(content)
        service.store.succeed(claim)
        return job_id

    async def test_results_are_downloaded_until_their_url_expires(
        self, client: httpx.AsyncClient, service: Service, clock: TurnableClock
    ) -> None:
        """Asking again gives a fresh URL. The URL needs no key and does not hold it."""
        job_id = await self._done(client, service, b'{"frame_offset": [0]}')
        first = (await client.get("/videoinfer/", params={"job_id": job_id})).json()
        assert first["status"] == 0
        assert API_KEY not in first["output_signed_url"]
        client.params = httpx.QueryParams()
        assert (await client.get(first["output_signed_url"])).json() == {"frame_offset": [0]}
        clock.advance(service.settings.result_lifetime)
        late = await client.get(first["output_signed_url"])
        assert late.status_code == 403
        assert late.json()["error"] == "access_denied"
        again = (await client.get("/videoinfer/", params={"job_id": job_id, "api_key": API_KEY})).json()
        assert (await client.get(again["output_signed_url"])).status_code == 200

    async def test_a_changed_result_url_is_refused(self, client: httpx.AsyncClient, service: Service) -> None:
        """Also one that was changed to another job's."""
        one, two = await self._done(client, service), await self._done(client, service)
        url = (await client.get("/videoinfer/", params={"job_id": one})).json()["output_signed_url"]
        client.params = httpx.QueryParams()
        for changed in (url.replace(one, two), url[:-2] + "xx", urlsplit(url).path):
            assert (await client.get(changed)).status_code == 403

    async def test_pruned_results_are_gone(
        self, client: httpx.AsyncClient, service: Service, clock: TurnableClock
    ) -> None:
        """After the retention time the job is unknown and its URL leads nowhere."""
        job_id = await self._done(client, service)
        url = (await client.get("/videoinfer/", params={"job_id": job_id})).json()["output_signed_url"]
        status = next((service.settings.state_dir / "jobs").glob("*/status.json"))
        clock.now = clock.now.fromtimestamp(status.stat().st_mtime, clock.now.tzinfo) + service.settings.retention
        service.prune()
        assert (await client.get("/videoinfer/", params={"job_id": job_id})).status_code == 200
        clock.advance(timedelta(seconds=1))
        service.prune()
        assert (await client.get("/videoinfer/", params={"job_id": job_id})).status_code == 404
        client.params = httpx.QueryParams()
        assert (await client.get(url)).status_code in (403, 404)
