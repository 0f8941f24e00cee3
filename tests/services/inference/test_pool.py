"""The slots of a service when its machine, or this program, fails."""

from __future__ import annotations

import asyncio
import errno
import logging
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from deployments.services.inference import pool as pool_module
from deployments.services.inference.jobs import Claim, JobRequest, JobStore
from deployments.services.inference.pool import WorkerPool
from deployments.services.inference.settings import ServiceSettings
from tasks.engine.bundled import bundled_model
from tests.services.inference.service_process import wait_for

REQUEST = JobRequest(models={"oidv4": str(bundled_model())}, fps=1.0, path="/nowhere.mp4")


class _FailingStore(JobStore):
    """A store whose first claim fails as it is told."""

    def __init__(self, state_dir: Path, failure: Exception) -> None:
        super().__init__(state_dir)
        self.failure: Exception | None = failure

    def claim(self) -> Claim | None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        return super().claim()


async def test_a_full_disk_is_waited_out(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The job stays queued and is run when there is room again."""
    monkeypatch.setattr(pool_module, "_SCAN_INTERVAL_S", 0.01)
    store = _FailingStore(settings.state_dir, OSError(errno.ENOSPC, "No space left on device"))
    job_id = store.create(REQUEST)
    pool = WorkerPool(store, settings)
    async with pool.running():
        end = await asyncio.to_thread(wait_for, lambda: store.end_of(job_id))
        assert pool.is_whole
    assert end.code == "object_missing"
    assert "No space left on device" in caplog.text


async def test_a_mistake_in_this_program_is_told_and_seen(
    settings: ServiceSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """A slot that ended must not go unnoticed, and its error's text must not be logged."""
    store = _FailingStore(settings.state_dir, RuntimeError("https://h/?sig=s3cret"))
    pool = WorkerPool(store, settings)
    async with pool.running():
        await asyncio.to_thread(wait_for, lambda: not pool.is_whole)
    assert "RuntimeError" in caplog.text
    assert "s3cret" not in caplog.text


async def test_stopping_an_idle_pool_is_no_mistake(settings: ServiceSettings, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is starting one without anything to do: no process is started before a job comes."""
    with caplog.at_level(logging.WARNING):
        async with WorkerPool(JobStore(settings.state_dir), settings).running():
            pass
    assert caplog.text == ""


async def test_health_follows_the_pool(app: FastAPI, anonymous: httpx.AsyncClient) -> None:
    """The application's life is the workers' life."""
    async with app.router.lifespan_context(app):
        response = await anonymous.get("/healthz")
        assert (response.status_code, response.json()) == (200, {"status": "ok", "workers": 1})
    assert (await anonymous.get("/healthz")).status_code == 503
