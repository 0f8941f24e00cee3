"""Uploading, polling and downloading over HTTP; no workers run here."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from deployments.services.inference.service import Service
from tests.services.inference.api_calls import claimed, put_upload, upload_url, video_job
from tests.services.inference.conftest import API_KEY, TurnableClock


class TestUploading:
    @pytest.mark.parametrize("name", ["a.mp4", "../../etc/passwd", "/etc/passwd", "..", "a/b\\c\0.mp4", "ü" * 5000])
    @pytest.mark.parametrize("path", ["/video_upload_signed_url", "/video_upload_signed_url/"])
    async def test_the_callers_name_is_never_a_path(
        self, client: httpx.AsyncClient, service: Service, tmp_path: Path, name: str, path: str
    ) -> None:
        """Whatever the name, the video lands in the uploads folder and can be submitted."""
        url = (await client.post(path, json={"file_name": name})).json()["signed_url"]
        assert "&X-Goog-Expires=3600&" in url
        assert (await put_upload(client, url)).status_code == 200
        assert (await client.post("/videoinfer/", json=video_job(input_url=url))).status_code == 200
        (stored,) = (tmp_path / "state" / "uploads").iterdir()
        assert claimed(service).request.path == str(stored)
        assert stored.read_bytes() == b"video"

    @pytest.mark.parametrize("body", [{}, {"file_name": ""}, {"file_name": 1}, []])
    async def test_a_name_must_be_given(self, client: httpx.AsyncClient, body: Any) -> None:
        """As the hosted service asks."""
        assert (await client.post("/video_upload_signed_url", json=body)).status_code == 400

    async def test_an_expired_url_takes_no_upload(self, client: httpx.AsyncClient, clock: TurnableClock) -> None:
        """After an hour; but what was uploaded by then can still be submitted."""
        url, late = await upload_url(client), await upload_url(client)
        await put_upload(client, url)
        clock.advance(timedelta(hours=1))
        response = await put_upload(client, late)
        assert response.status_code == 403
        assert response.json()["error"] == "access_denied"
        assert (await client.post("/videoinfer/", json=video_job(input_url=url))).status_code == 200

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
        url = change(await upload_url(client))
        assert (await put_upload(client, url)).status_code in (403, 404)
        assert list((tmp_path / "state" / "uploads").iterdir()) == []
        response = await client.post("/videoinfer/", json=video_job(input_url=url))
        assert response.status_code == 400

    async def test_an_upload_is_submitted_by_its_signed_url_only(self, client: httpx.AsyncClient) -> None:
        """Whoever merely knows the name of somebody's upload gets no job of it."""
        url = await upload_url(client)
        await put_upload(client, url)
        for changed in (url.partition("?")[0], url[:-2] + "xx"):
            response = await client.post("/videoinfer/", json=video_job(input_url=changed))
            assert (response.status_code, response.json()["error"]) == (400, "access_denied")

    async def test_a_video_over_the_limit_is_not_taken(self, client: httpx.AsyncClient, tmp_path: Path) -> None:
        """With a declared length at once, without one when the limit is passed."""

        async def undeclared() -> Any:
            for _ in range(11):
                yield b"x" * 100

        url = await upload_url(client)
        assert (await put_upload(client, url, b"x" * 1000)).status_code == 200
        for body in (b"x" * 1001, undeclared()):
            response = await put_upload(client, url, body)
            assert response.status_code == 413
            assert response.json()["error"] == "video_too_large"
        (stored,) = (tmp_path / "state" / "uploads").iterdir()
        assert stored.stat().st_size == 1000

    async def test_a_job_of_an_upload_that_never_came_is_refused(self, client: httpx.AsyncClient) -> None:
        """It would only fail later."""
        response = await client.post("/videoinfer/", json=video_job(input_url=await upload_url(client)))
        assert response.status_code == 400
        assert response.json()["error"] == "object_missing"


class TestPollingAndDownloading:
    @pytest.mark.parametrize("path", ["/videoinfer/", "/videoinfer"])
    async def test_a_job_that_waits_or_runs_says_so(
        self, client: httpx.AsyncClient, service: Service, path: str
    ) -> None:
        """Status 1, before and after a worker takes it."""
        job_id = (await client.post("/videoinfer/", json=video_job())).json()["job_id"]
        assert (await client.get(path, params={"job_id": job_id})).json()["status"] == 1
        claimed(service)
        assert (await client.get(path, params={"job_id": job_id})).json()["status"] == 1

    async def test_a_failed_job_says_why(self, client: httpx.AsyncClient, service: Service) -> None:
        """Status 2 with our code, for the hosted service has none."""
        job_id = (await client.post("/videoinfer/", json=video_job())).json()["job_id"]
        service.store.fail(claimed(service), "fps_too_high", "30 of 25", "lower it")
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
        job_id: str = (await client.post("/videoinfer/", json=video_job())).json()["job_id"]
        claim = claimed(service)
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
        os.utime(status, (clock.now.timestamp(), clock.now.timestamp()))
        clock.advance(service.settings.retention)
        service.prune()
        assert (await client.get("/videoinfer/", params={"job_id": job_id})).status_code == 200
        clock.advance(timedelta(seconds=1))
        service.prune()
        assert (await client.get("/videoinfer/", params={"job_id": job_id})).status_code == 404
        client.params = httpx.QueryParams()
        assert (await client.get(url)).status_code in (403, 404)
