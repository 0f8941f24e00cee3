"""Backends by name."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from tasks.domain.errors import AuthRefused, InputInvalid
from tasks.inference.registry import open_backend
from tasks.inference.roboflow import RoboflowClient


@pytest.mark.parametrize("name", ["roboflow", "local"])
async def test_the_hosted_and_the_local_service_have_one_client(name: str) -> None:
    """Both names open the same client on the given address."""
    backend = open_backend(name, base_url="http://127.0.0.1:9001/", api_key=SecretStr("key"))
    assert isinstance(backend, RoboflowClient)
    assert backend.base_url == "http://127.0.0.1:9001"
    await backend.aclose()


@pytest.mark.parametrize("name", ["frames", "", "Roboflow"])
def test_an_unknown_backend_is_refused(name: str) -> None:
    """The hint lists the names there are."""
    with pytest.raises(InputInvalid) as caught:
        open_backend(name, base_url="http://127.0.0.1:9001", api_key=SecretStr("key"))
    assert "roboflow, local" in caught.value.hint


def test_no_key_is_refused_at_once() -> None:
    """Before anything is sent."""
    with pytest.raises(AuthRefused):
        open_backend("roboflow", base_url="https://api.roboflow.com", api_key=None)
