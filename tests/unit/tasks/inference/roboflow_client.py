"""The client of the hosted API, for tests."""

from __future__ import annotations

import httpx
from pydantic import SecretStr

from tasks.inference.roboflow import RoboflowClient
from tests.scripted_service import KEY


def client(base_url: str, **options: object) -> RoboflowClient:
    """A client that does not wait long."""
    return RoboflowClient(base_url, SecretStr(KEY), timeout=httpx.Timeout(1, pool=None), **options)  # type: ignore[arg-type]
