"""Prometheus metrics of a service: a registry of its own, what HTTP does, and ``/metrics``.

Labels hold names of ours (operations, states, codes, routes), never a path, a key or a video: there
are few of them, and none is a secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 60, 600)


class Metrics:
    """Everything that one service counts.

    Attributes:
        registry: Where a service registers counters of its own.
    """

    def __init__(self, *collectors: Collector) -> None:
        """``collectors`` are asked at every scrape."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "reelroute_http_requests", "Requests answered.", ["operation", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "reelroute_http_request_seconds",
            "From a request's first byte to its answer's last.",
            ["operation"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.received = Counter(
            "reelroute_http_received_bytes", "Bytes of request bodies.", ["operation"], registry=self.registry
        )
        self.sent = Counter("reelroute_http_sent_bytes", "Bytes of answers.", ["operation"], registry=self.registry)
        for collector in collectors:
            self.registry.register(collector)


def add_metrics(app: FastAPI, metrics: Metrics, check_key: Callable[[Request], None] | None = None) -> None:
    """Answer ``GET /metrics`` and count every request; add it before routes that match everything.

    Args:
        check_key: Raises AuthRefused for callers who may not see them; None for a service without a key.
    """

    def scrape(request: Request) -> Response:
        if check_key is not None:
            check_key(request)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app.add_api_route("/metrics", scrape, methods=["GET"])
    app.add_middleware(_Counting, metrics=metrics)


class _Counting:
    """Counts requests by the function that answers them, which is what an operation is called."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received, sent, status = 0, 0, 500  # what a caller gets if the application raises

        async def receiving() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def sending(message: Message) -> None:
            nonlocal sent, status
            status = message.get("status", status)
            await send(message)
            sent += len(message.get("body", b""))

        begun = time.perf_counter()
        try:
            await self._app(scope, receiving, sending)
        finally:
            operation = _operation(scope.get("endpoint"))
            self._metrics.requests.labels(operation, str(status)).inc()
            self._metrics.seconds.labels(operation).observe(time.perf_counter() - begun)
            self._metrics.received.labels(operation).inc(received)
            self._metrics.sent.labels(operation).inc(sent)


def _operation(endpoint: Any) -> str:
    name: str = getattr(endpoint, "__name__", "") or "unmatched"
    return name.strip("_")
