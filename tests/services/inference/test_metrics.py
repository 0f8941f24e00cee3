"""What the inference service tells those who watch it: `/metrics` and `/readyz`."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest

from deployments.services.inference.jobs import JobRequest, JobStore
from deployments.services.inference.service import Service
from tests.services.inference.conftest import API_KEY, TurnableClock
from tests.services.inference.service_process import ServiceProcess, wait_for
from tests.services.test_metrics import samples

Start = Callable[..., ServiceProcess]


async def test_metrics_need_the_key(client: httpx.AsyncClient) -> None:
    """As a bearer token, or as everything else here."""
    assert 200 == (await client.get("/metrics")).status_code
    client.params = httpx.QueryParams()
    refused = await client.get("/metrics")
    assert (401, "auth_refused") == (refused.status_code, refused.json()["error"])
    assert 200 == (await client.get("/metrics", headers={"Authorization": f"Bearer {API_KEY}"})).status_code


async def test_the_queue_is_told_with_the_age_of_its_oldest_job(
    client: httpx.AsyncClient, service: Service, clock: TurnableClock
) -> None:
    """What an alert on a service that does not keep up goes by."""
    empty = samples((await client.get("/metrics")).text)
    before = datetime.now(UTC)
    for _ in range(2):
        service.store.create(JobRequest(models={}, fps=1.0, path="/v.mp4"))
    clock.now = before + timedelta(hours=1)
    seen = samples((await client.get("/metrics")).text)

    assert (0, 0) == (
        empty["reelroute_inference_jobs_open",],
        empty["reelroute_inference_oldest_job_seconds",],
    )
    assert 2 == seen["reelroute_inference_jobs_open",]
    assert 3600 == pytest.approx(seen["reelroute_inference_oldest_job_seconds",], abs=60)


async def test_a_state_folder_that_cannot_be_written_is_not_ready(
    anonymous: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is told to load balancers before it is told to callers; `/healthz` asks for no restart."""

    def full(store: JobStore) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(service.pool), "is_whole", property(lambda pool: True))
    monkeypatch.setattr(JobStore, "try_writing", full)
    ready, alive = await anonymous.get("/readyz"), await anonymous.get("/healthz")

    assert (503, {"state folder": "storage_unavailable"}) == (ready.status_code, ready.json()["checks"])
    assert 200 == alive.status_code


async def test_looking_leaves_nothing_in_the_state_folder(anonymous: httpx.AsyncClient, service: Service) -> None:
    """Not even after many times."""
    service.check_state_folder()
    await anonymous.get("/readyz")

    assert [] == [path for path in service.settings.state_dir.rglob("*") if path.is_file()]


def test_a_service_at_work_counts_what_it_does(start: Start, videos: Path, bikes: Path) -> None:
    """Submissions, polls, uploads, downloads and their bytes; jobs by outcome; workers that died."""
    (videos / "bikes.mp4").write_bytes(bikes.read_bytes())
    (videos / "bad.mp4").write_bytes(b"no video")
    service = start()
    assert 200 == service.client.get("/readyz").status_code
    url = service.client.post("/video_upload_signed_url", json={"file_name": "v"}).json()["signed_url"]
    httpx.put(url, content=bikes.read_bytes())
    result = httpx.get(service.end_of(service.submit(url, infer_fps=1))["output_signed_url"]).content
    assert 2 == service.end_of(service.submit((videos / "bad.mp4").as_uri()))["status"]
    job = service.submit((videos / "bikes.mp4").as_uri())
    for _ in range(2):
        worker: psutil.Process = wait_for(lambda: running(service) and service.workers())[0]
        worker.send_signal(signal.SIGKILL)
        worker.wait(60)
    assert "worker_crashed" == service.end_of(job)["error"]
    seen = samples(service.client.get("/metrics").text)

    assert 3 == seen["reelroute_http_requests_total", "submit", "200"]
    assert seen["reelroute_http_requests_total", "poll", "200"] >= 3
    assert len(bikes.read_bytes()) == seen["reelroute_http_received_bytes_total", "upload"]
    assert len(result) == seen["reelroute_http_sent_bytes_total", "result"]
    assert 1 == seen["reelroute_inference_jobs_ended_total", "succeeded"]
    assert 1 == seen["reelroute_inference_jobs_ended_total", "video_unreadable"]
    assert 1 == seen["reelroute_inference_jobs_ended_total", "worker_crashed"]
    assert 2 == seen["reelroute_inference_worker_crashes_total",]
    assert (0, 0, 1) == (
        seen["reelroute_inference_jobs_open",],
        seen["reelroute_inference_jobs_running",],
        seen["reelroute_inference_workers",],
    )
    assert API_KEY not in service.client.get("/metrics").text


def running(service: ServiceProcess) -> bool:
    """Whether a job is at a worker now."""
    return bool(samples(service.client.get("/metrics").text)["reelroute_inference_jobs_running",])
