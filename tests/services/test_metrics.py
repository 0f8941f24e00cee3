"""`/metrics` of any service: what HTTP does, and who may see it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse

from deployments.services.exposure import require_key
from deployments.services.metrics import Metrics, add_metrics
from tasks.domain.errors import AuthRefused


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Name and label values -> number, as Prometheus reads them."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def make_app(key: str = "") -> FastAPI:
    app = FastAPI()
    add_metrics(app, Metrics(), (lambda request: require_key(request, key)) if key else None)

    @app.put("/videos/{name}")
    async def take(name: str, request: Request) -> PlainTextResponse:
        async for _ in request.stream():
            pass
        return PlainTextResponse("thanks")

    @app.get("/stream")
    async def give() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"x" * 100

        return StreamingResponse(parts())

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a mistake of ours")

    @app.exception_handler(AuthRefused)
    async def refuse(_: Request, error: AuthRefused) -> PlainTextResponse:
        return PlainTextResponse(error.code, 401)

    return app


def client(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://service.test")


async def test_requests_are_counted_by_what_they_ask_for() -> None:
    """With their bytes in both directions, streamed or not; a path never becomes a label."""
    async with client(make_app()) as asking:
        for name in ("one", "s3cret"):
            await asking.put(f"/videos/{name}?sig=s3cret", content=b"v" * 1000)
        await asking.get("/stream")
        await asking.get("/nowhere/s3cret")
        await asking.get("/broken")
        text = (await asking.get("/metrics")).text
    seen = samples(text)

    assert 2 == seen["reelroute_http_requests_total", "take", "200"]
    assert 2000 == seen["reelroute_http_received_bytes_total", "take"]
    assert 12 == seen["reelroute_http_sent_bytes_total", "take"]
    assert 300 == seen["reelroute_http_sent_bytes_total", "give"]
    assert 1 == seen["reelroute_http_requests_total", "unmatched", "404"]
    assert 1 == seen["reelroute_http_requests_total", "broken", "500"]
    assert 2 == seen["reelroute_http_request_seconds_count", "take"]
    assert "process_resident_memory_bytes" in text
    assert "s3cret" not in text


async def test_two_services_of_one_process_do_not_share_counts() -> None:
    """Each has a registry of its own."""
    async with client(make_app()) as one, client(make_app()) as other:
        await one.get("/stream")
        seen = samples((await other.get("/metrics")).text)

    assert ("reelroute_http_requests_total", "give", "200") not in seen


@pytest.mark.parametrize(("token", "status"), [("", 401), ("Bearer wrong", 401), ("Bearer right", 200)])
async def test_metrics_need_the_key_where_there_is_one(token: str, status: int) -> None:
    """As Prometheus sends it: `authorization: {credentials_file: …}`."""
    async with client(make_app("right")) as asking:
        answer = await asking.get("/metrics", headers={"Authorization": token})

    assert status == answer.status_code
    assert (status == 200) == ("reelroute_http" in answer.text)
