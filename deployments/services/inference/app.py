"""The HTTP side: routes, the JSON of refusals, and the workers' life within the application's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

from fastapi import FastAPI
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from deployments.services.exposure import require_key
from deployments.services.health import Health, add_health
from deployments.services.inference import control, video
from deployments.services.inference.contract import refusal
from deployments.services.inference.metrics import JobMetrics
from deployments.services.inference.service import Service, service_of
from deployments.services.inference.settings import ServiceSettings
from deployments.services.metrics import Metrics, add_metrics
from deployments.services.refusals import add_slow_refusals, note_refusal
from tasks.domain.errors import (
    AccessDenied,
    AuthRefused,
    JobUnknown,
    KeyUnsafe,
    ModelUnknown,
    ObjectMissing,
    ReelrouteError,
    StorageUnavailable,
)
from tasks.storage.loopback import URL_PREFIX, verify_file_url

_log = logging.getLogger("reelroute.inference")
_PRUNE_EVERY = timedelta(hours=1)
_STATUSES: dict[type[ReelrouteError], int] = {AuthRefused: 401, JobUnknown: 404}


def utc_now() -> datetime:
    """The time, timezone-aware."""
    return datetime.now(UTC)


def create_app(settings: ServiceSettings, *, clock: Callable[[], datetime] = utc_now) -> FastAPI:
    """Build the application; its workers start and stop with its lifespan.

    Args:
        clock: Gives the time now, timezone-aware; URLs expire by it.

    Raises:
        ModelInvalid: A model file or name is bad.
        InputInvalid: The state folder cannot be used.
    """
    # No schema and no docs pages: they would answer without the key.
    app = FastAPI(lifespan=_lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.service = service = Service.build(settings, clock)
    app.add_exception_handler(ReelrouteError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(OSError, _refuse_for_now)
    pool = service.pool
    checks = {"state folder": service.check_state_folder}
    add_health(app, Health(checks, is_alive=lambda: pool.is_whole, facts={"workers": pool.size}))
    metrics = Metrics(JobMetrics(service.store, pool, clock))
    add_metrics(app, metrics, lambda request: require_key(request, settings.api_key))
    add_slow_refusals(app)
    register_url_convertor("anything", _Anything())
    app.add_api_route("/", _introduce, methods=["GET", "HEAD"])
    app.router.routes.append(Route(URL_PREFIX + "/{key:anything}", _file, methods=["GET", "HEAD"]))
    app.include_router(video.router)
    app.include_router(control.router)  # last: its paths match almost everything
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    tidying = asyncio.create_task(_keep_tidy(service))
    try:
        async with service.pool.running():
            yield
    finally:
        tidying.cancel()


async def _keep_tidy(service: Service) -> None:
    while True:
        try:
            await asyncio.to_thread(service.prune)
        except OSError as error:
            _log.error("cannot delete old jobs and uploads: %s", error.strerror)
        await asyncio.sleep(_PRUNE_EVERY.total_seconds())


class _Anything(Convertor[str]):
    """Any text, line breaks included: Starlette's own ``path`` stops at them, file names do not."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def _introduce() -> PlainTextResponse:
    """Say what this is to who opens the address in a browser."""
    return PlainTextResponse(
        "reelroute's video inference service: it answers as Roboflow's Video Inference API does.\n"
    )


def _file(request: Request) -> Response:
    """Give out a file of an allowed folder to who holds a signed URL; ranges work."""
    service = service_of(request)
    # The path as it came over the wire: decoding and encoding it again would change odd names.
    raw_path = request.scope["raw_path"].decode("latin-1")
    try:
        path = verify_file_url(
            service.inputs.file_secret, raw_path, request.query_params, service.clock(), service.settings.allow_folders
        )
    except (AccessDenied, KeyUnsafe) as error:
        return refusal(error, 403)
    except ObjectMissing as error:
        return refusal(error, 404)
    return FileResponse(path, media_type="application/octet-stream")


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ReelrouteError)  # noqa: S101 (registered for these only)
    if isinstance(error, AuthRefused):
        note_refusal(request, error.message)
    # A project that is looked up and not there is a 404; one that a job names is a mistake in the job.
    looked_up = request.method == "GET" and isinstance(error, ModelUnknown)
    return refusal(error, 404 if looked_up else _STATUSES.get(type(error), 400))


def _refuse_for_now(_: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)  # noqa: S101 (registered for these only)
    reason = error.strerror or type(error).__name__
    _log.error("a request failed on this machine: %s", reason)
    return refusal(StorageUnavailable(f"the service's machine failed: {reason}", hint="try again later"), 503)


def _refuse_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for these only)
    return JSONResponse({"error": f"http_{error.status_code}", "message": error.detail, "hint": ""}, error.status_code)
