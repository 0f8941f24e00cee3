"""A stand-in service and a client of it; contracts' asserts should explain themselves too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import stamina

from tasks.inference.roboflow import RoboflowClient
from tests.scripted_service import ScriptedService
from tests.unit.tasks.inference.roboflow_client import client

pytest.register_assert_rewrite(
    "tests.contracts.inference_backend",
    "tests.contracts.inference_check",
    "tests.contracts.inference_download",
    "tests.contracts.inference_samples",
    "tests.contracts.inference_submit",
)


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
