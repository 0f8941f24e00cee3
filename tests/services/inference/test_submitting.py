"""Submitting jobs over HTTP: what is accepted, and what is refused before anything is queued."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from pydantic import SecretStr

from deployments.services import bodies
from deployments.services.inference.protocol import Order
from deployments.services.inference.service import Service
from tasks.domain.errors import ServiceUnavailable
from tasks.inference.acceptance import taken_job
from tasks.inference.answers import Answer, Discretion
from tasks.storage.loopback import file_url_secret, sign_file_url
from tests.services.inference.api_calls import BASE, OIDV4, SORTING, claimed, put_upload, upload_url, video_job
from tests.services.inference.conftest import API_KEY, TurnableClock

PLACES: list[tuple[str | int, ...]] = [
    ("input_url",),
    ("infer_fps",),
    ("models",),
    ("models", 0),
    *(("models", 0, name) for name in ("model_id", "model_version", "inference_type", "inference_params")),
    ("models", 0, "inference_params", "confidence"),
]
RAW = ["null", "true", "-1", "0", "-0", "1e-7", "1E-400", "1e999", "NaN", "-Infinity", "1" + "0" * 5000, "[]", "{}"]
RAW += ['""', '"\\ud800"', '"\\u0000"', '"a\\nb"', '"\\u202ex"', f'"{"x" * 9000}"', "[" * 50 + "]" * 50, "[1]", "1.5"]


class TestSubmitting:
    @pytest.mark.parametrize("path", ["/videoinfer/", "/videoinfer"])
    @pytest.mark.parametrize("version", ["1", 1])
    async def test_a_job_is_queued_as_it_was_asked(
        self, client: httpx.AsyncClient, service: Service, path: str, version: str | int
    ) -> None:
        """The URL reaches the worker byte for byte; versions are text or numbers."""
        model = OIDV4 | {"model_version": version, "inference_params": {"confidence": 0.25}}
        url = "https://bucket.test/a%2Fb%20c+d.mp4?X-Amz-Signature=1%2F2%3D&x=%c3%a9"
        response = await client.post(path, json=video_job(input_url=url, infer_fps=29.97, models=[model]))
        assert response.status_code == 200
        claim = claimed(service)
        assert response.json()["job_id"] == claim.job_id
        assert (claim.request.url, claim.request.path, claim.request.fps) == (url, "", 29.97)
        assert (claim.request.models, claim.request.confidence) == ({"oidv4": "/models/oidv4.onnx"}, 0.25)

    async def test_several_models_make_one_job(self, client: httpx.AsyncClient, service: Service) -> None:
        """In the order in which they were named."""
        await client.post("/videoinfer/", json=video_job(models=[SORTING, OIDV4 | {"inference_params": None}]))
        request = claimed(service).request
        assert list(request.models) == ["sorting", "oidv4"]
        assert request.confidence is None

    async def test_a_body_that_does_not_end_says_nothing_about_the_job(
        self, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """408, in words that a client takes for "again later" and not for a refusal of the video."""
        monkeypatch.setattr(bodies, "_BODY_WITHIN_S", 0.01)

        async def halves() -> AsyncIterator[bytes]:
            yield b'{"input_url": "https://bucket.test/a'
            await anyio.sleep(0.2)
            yield b'.mp4"}'

        response = await client.post("/videoinfer/", content=halves())
        assert 408 == response.status_code
        answer = Answer(response.status_code, response.headers, response.content)
        with pytest.raises(ServiceUnavailable):
            taken_job("submitting", answer, Discretion(SecretStr(API_KEY)), datetime.now(UTC))

    @pytest.mark.parametrize("fps", [0, -1, 1e-7, 5e-324, 0.0009, 120.5, 1e400, -1e400, float("nan"), "5", None, True])
    async def test_a_frame_rate_that_cannot_be_is_refused(self, client: httpx.AsyncClient, fps: Any) -> None:
        """At least a frame in a thousand seconds, at most 120 in one, and a number."""
        response = await client.post("/videoinfer/", content=json.dumps(video_job(infer_fps=fps)))
        assert response.status_code == 400
        assert response.json()["error"] == "input_invalid"
        assert "infer_fps" in response.json()["message"]

    @pytest.mark.parametrize("fps", [120, 0.001, 5.0])
    async def test_the_bounds_of_the_frame_rate_are_taken(self, client: httpx.AsyncClient, fps: float) -> None:
        """Whether the video has so many frames is seen when it is read."""
        assert (await client.post("/videoinfer/", json=video_job(infer_fps=fps))).status_code == 200

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
        response = await client.post("/videoinfer/", json=video_job(models=[OIDV4, model]))
        assert response.status_code == 400
        assert response.json()["error"] == "model_unknown"
        assert word in response.json()["message"] + response.json()["hint"]
        assert service.store.backlog().jobs == 0

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
        response = await client.post("/videoinfer/", json=video_job(**wrong))
        assert response.status_code == 400
        assert response.json()["error"] == "input_invalid"

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"input_url": NaN}', b" " * 1_100_000])
    async def test_what_is_not_json_is_refused(self, client: httpx.AsyncClient, body: bytes) -> None:
        """And so is more of it than any request needs."""
        response = await client.post("/videoinfer/", content=body)
        assert response.status_code == 400
        assert response.json()["error"] == "input_invalid"

    @pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
    async def test_no_value_in_any_place_breaks_the_service(
        self, client: httpx.AsyncClient, service: Service, place: tuple[str | int, ...]
    ) -> None:
        """It is queued, or refused with the service's own JSON; what is queued, a worker can read."""
        whole = video_job(models=[OIDV4 | {"inference_params": {"confidence": 0.5}}])
        for raw in RAW:
            at = body = json.loads(json.dumps(whole))
            for step in place[:-1]:
                at = at[step]
            at[place[-1]] = "@"
            response = await client.post("/videoinfer/", content=json.dumps(body).replace('"@"', raw).encode())
            assert response.status_code in (200, 400), (raw, response.text)
            if response.status_code == 400:
                assert {"error", "message", "hint"} == set(response.json())
            else:
                order = Order(claimed(service).request, "/target", service.settings.limits)
                assert order == Order.from_line(order.to_line())

    async def test_a_full_disk_is_no_refusal(
        self, client: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The job was not taken, and trying again later may help: that is what 503 says."""

        def no_space(*args: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        url = await upload_url(client)
        monkeypatch.setattr(os, "open", no_space)
        monkeypatch.setattr(anyio.Path, "open", no_space)
        for response in (await client.post("/videoinfer/", json=video_job()), await put_upload(client, url)):
            assert (response.status_code, response.json()["error"]) == (503, "storage_unavailable")
            assert "No space left on device" in response.json()["message"]
        monkeypatch.undo()
        assert service.store.claim() is None

    async def test_a_refusal_does_not_repeat_the_url(self, client: httpx.AsyncClient) -> None:
        """Error texts end up in logs."""
        for wrong in ({"infer_fps": 0}, {"input_url": "ftp://h/?sig=s3cret"}, {"input_url": ["https://h/?sig=s3cret"]}):
            assert "s3cret" not in (await client.post("/videoinfer/", json=video_job(**wrong))).text


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
        response = await client.post("/videoinfer/", json=video_job(input_url=url))
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
        response = await client.post("/videoinfer/", json=video_job(input_url=f"http://{host}/a.mp4"))
        assert response.status_code == 400
        assert response.json()["error"] == "access_denied"

    async def test_a_file_of_an_allowed_folder_is_taken(
        self, client: httpx.AsyncClient, service: Service, videos: Path
    ) -> None:
        """File URLs are percent-decoded, as everywhere."""
        video = videos / "a b%é.mp4"
        video.touch()
        response = await client.post("/videoinfer/", json=video_job(input_url=video.as_uri()))
        assert response.status_code == 200
        assert claimed(service).request.path == str(video)

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
            response = await client.post("/videoinfer/", json=video_job(input_url=f"file://{name}"))
            assert (response.status_code, response.json()["error"]) == (400, "access_denied")
        for name in (videos, videos / "missing.mp4", videos / "loop" / "a.mp4"):
            response = await client.post("/videoinfer/", json=video_job(input_url=f"file://{name}"))
            assert (response.status_code, response.json()["error"]) == (400, "object_missing")

    async def test_our_own_file_urls_become_paths(
        self, client: httpx.AsyncClient, service: Service, videos: Path, clock: TurnableClock
    ) -> None:
        """No request goes out, so the job does not depend on this process or its port."""
        video = videos / "100% #1?+\n.mp4"
        video.touch()
        url = sign_file_url(BASE, file_url_secret(API_KEY), video, clock.now + timedelta(minutes=1))
        assert (await client.post("/videoinfer/", json=video_job(input_url=url))).status_code == 200
        assert claimed(service).request.path == str(video)
        clock.advance(timedelta(minutes=1))
        response = await client.post("/videoinfer/", json=video_job(input_url=url))
        assert response.status_code == 400
        assert response.json()["error"] == "access_denied"

    async def test_other_pages_of_ours_are_no_videos(self, client: httpx.AsyncClient) -> None:
        """The service does not call itself."""
        response = await client.post("/videoinfer/", json=video_job(input_url=f"{BASE}/local/oidv4?api_key={API_KEY}"))
        assert response.json()["error"] == "input_invalid"

    async def test_the_same_path_on_another_host_is_an_ordinary_url(
        self, client: httpx.AsyncClient, service: Service
    ) -> None:
        """Only our own address is short-cut to the disk."""
        url = "http://service.test:9002/uploads/x"
        await client.post("/videoinfer/", json=video_job(input_url=url))
        assert claimed(service).request.url == url
