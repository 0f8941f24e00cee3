"""Calls of the Video Inference API, as the tests of the HTTP side make them."""

from __future__ import annotations

from typing import Any

import httpx

from deployments.services.inference.jobs import Claim
from deployments.services.inference.service import Service
from tests.services.inference.conftest import API_KEY

OIDV4 = {"model_id": "oidv4", "model_version": "1", "inference_type": "object-detection"}
SORTING = {"model_id": "sorting", "model_version": "1", "inference_type": "classification"}
BASE = "http://service.test:9001"


def video_job(**changes: Any) -> dict[str, Any]:
    return {"input_url": "https://bucket.test/a.mp4?sig=s3cret", "infer_fps": 5, "models": [OIDV4], **changes}


async def upload_url(client: httpx.AsyncClient) -> str:
    response = await client.post("/video_upload_signed_url", json={"file_name": "a.mp4"})
    url: str = response.json()["signed_url"]
    return url


async def put_upload(client: httpx.AsyncClient, url: str, content: bytes = b"video") -> httpx.Response:
    client.params = httpx.QueryParams()
    response = await client.put(url, content=content)
    client.params = httpx.QueryParams({"api_key": API_KEY})
    return response


def claimed(service: Service) -> Claim:
    claim = service.store.claim()
    assert claim is not None
    return claim
