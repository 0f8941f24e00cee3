"""The HTTP side: one address for every sender, and three for whoever watches."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.services.bodies import BodyTooLarge, BodyTooSlow, read_whole
from deployments.services.events.refused import Refused
from deployments.services.events.service import Service
from deployments.services.health import add_health
from deployments.services.metrics import add_metrics
from deployments.services.refusals import REFUSED, add_slow_refusals, note_refusal
from tasks.domain.errors import LedgerUnavailable, LedgerUnusable
from tasks.uploads import azure
from tasks.uploads.notice import Sender, ShapeUnknown
from tasks.uploads.recognise import sender_of

_log = logging.getLogger("reelroute.events")

# Event Grid's largest batch is 1 MB, SNS' largest message 256 KiB.
LARGEST_BODY = 2 * 1024 * 1024
_HANDSHAKES = ("SubscriptionConfirmation", "UnsubscribeConfirmation")


def create_app(service: Service) -> FastAPI:
    """Build the application; the service's own tasks start and stop with its lifespan."""
    app = FastAPI(lifespan=_lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.service = service
    app.add_api_route("/events", _take, methods=["POST"])
    app.add_api_route("/events", _shake_hands, methods=["OPTIONS"])
    add_health(app, service.health)
    add_metrics(app, service.metrics, service.check_watcher)
    add_slow_refusals(app)
    app.add_exception_handler(Refused, _refuse)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with _service(app).running():
        yield


def _service(app: Any) -> Service:
    service: Service = app.state.service
    return service


async def _take(request: Request) -> Response:
    """Take a message of any sender; 2xx only once the inbox has what it tells."""
    service = _service(request.app)
    via = "unknown"
    try:
        message = _json(await _body(request))
        sender = sender_of(message)
        via = sender.value
        return await _answer(service, sender, message, request)
    except ShapeUnknown as error:
        refused = Refused(422, "shape_unknown", f"this is no message that a store sends: {error}")
    except Refused as error:
        refused = error
    except LedgerUnavailable:
        refused = Refused(503, "ledger_unavailable", "the ledger is out of reach: send it again later")
    except LedgerUnusable:
        refused = Refused(503, "ledger_unusable", "the ledger cannot be used: send it again later")
    service.reception.meters.count_refused(via, refused.code)
    return _refusal(request, via, refused)


async def _answer(service: Service, sender: Sender, message: Any, request: Request) -> Response:
    headers, query = request.headers, request.query_params
    # Signatures and tokens may need a certificate, which is fetched now and then.
    await asyncio.to_thread(service.gate.check, sender, message, headers, query)
    if sender is Sender.SNS and message["Type"] in _HANDSHAKES:
        if message["Type"] == "SubscriptionConfirmation":
            await asyncio.to_thread(service.gate.sns.confirm, message)
        _log.info("sns: %s of %s", message["Type"], message["TopicArn"])
        return JSONResponse({"confirmed": message["Type"] == "SubscriptionConfirmation"})
    if sender is Sender.EVENT_GRID:
        first = message[0] if isinstance(message, list) else message
        if azure.kind_of(first) == azure.VALIDATION:
            _log.info("event-grid: handshake")
            return JSONResponse({"validationResponse": azure.validation_code(first)})
    return JSONResponse(await service.reception.take(message, headers, sender.value))


async def _shake_hands(request: Request) -> Response:
    """Let Event Grid send CloudEvents here."""
    service = _service(request.app)
    origin = request.headers.get("webhook-request-origin", "")
    try:
        if not origin:
            raise Refused(400, "origin_missing", "a handshake has a WebHook-Request-Origin")
        await asyncio.to_thread(service.gate.check_event_grid, request.headers, request.query_params)
    except Refused as refused:
        service.reception.meters.count_refused(Sender.CLOUD_EVENTS.value, refused.code)
        return _refusal(request, "cloud-events: handshake", refused)
    _log.info("cloud-events: handshake")
    return Response(headers={"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*", "Allow": "POST, OPTIONS"})


async def _body(request: Request) -> bytes:
    """The request's body, up to a size and within a time.

    Raises:
        Refused: It is larger, or does not end.
    """
    try:
        return await read_whole(request, LARGEST_BODY)
    except BodyTooLarge:
        raise Refused(413, "too_large", f"a message may have {LARGEST_BODY} bytes") from None
    except BodyTooSlow:
        raise Refused(408, "too_slow", "the message did not end in time") from None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "not_json", "the body is no JSON") from None


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 (registered for these only)
    return _refusal(request, "watching", error)


def _refusal(request: Request, what: str, refused: Refused) -> Response:
    """The answer, told in one line of the log; those that the caller may not see are told with their peer."""
    if refused.status in REFUSED:
        note_refusal(request, f"{refused.code}: {refused.message} ({what})")
    else:
        _log.warning("%s: refused with %d: %s: %s", what, refused.status, refused.code, refused.message)
    wait = {"Retry-After": "5"} if refused.status == 503 else {}
    return JSONResponse({"error": refused.code, "message": refused.message}, refused.status, headers=wait)
