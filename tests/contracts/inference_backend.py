"""How the tests of a client open it on the stand-in service."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import stamina

from tasks.inference.base import InferenceBackend
from tests.scripted_service import MARK, ScriptedService


class BackendContract:
    """Opens the client; holds no promise but that no log shows a secret."""

    def open(self, service: ScriptedService) -> InferenceBackend:
        """Make a client that waits at most a second for an answer and takes ``LARGEST_RESULT`` bytes."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def no_waiting(self) -> Iterator[None]:
        stamina.set_testing(True, attempts=3)
        yield
        stamina.set_testing(False)

    @pytest.fixture
    def service(self, caplog: pytest.LogCaptureFixture) -> Iterator[ScriptedService]:
        caplog.set_level(logging.DEBUG)
        with ScriptedService(prefix="/api") as service:
            yield service
        assert MARK not in caplog.text

    @pytest.fixture
    async def backend(self, service: ScriptedService) -> AsyncIterator[InferenceBackend]:
        backend = self.open(service)
        yield backend
        await backend.aclose()
