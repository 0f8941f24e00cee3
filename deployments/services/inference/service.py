"""The parts of one running service, put together, and what every route needs of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from deployments.services import exposure
from deployments.services.inference.catalog import Catalog
from deployments.services.inference.jobs import JobStore
from deployments.services.inference.pool import WorkerPool
from deployments.services.inference.settings import ServiceSettings
from deployments.services.inference.signing import UrlSigner
from deployments.services.inference.sources import Address, InputResolver
from deployments.services.inference.uploads import Uploads
from tasks.domain.errors import InputInvalid, StorageUnavailable
from tasks.storage.loopback import file_url_secret


@dataclass(frozen=True, slots=True)
class Service:
    """One service; lives as long as its FastAPI application."""

    settings: ServiceSettings
    clock: Callable[[], datetime]
    catalog: Catalog
    signer: UrlSigner
    store: JobStore
    uploads: Uploads
    inputs: InputResolver
    pool: WorkerPool

    @classmethod
    def build(cls, settings: ServiceSettings, clock: Callable[[], datetime]) -> Service:
        """Open the state folder and the models.

        Raises:
            ModelInvalid: A model file or name is bad.
            InputInvalid: The state folder cannot be used.
        """
        signer = UrlSigner(settings.api_key)
        store = JobStore(settings.state_dir)
        uploads = Uploads(settings.state_dir, settings.max_bytes)
        inputs = InputResolver(
            signer=signer,
            uploads=uploads,
            file_secret=file_url_secret(settings.api_key),
            allow_folders=settings.allow_folders,
            allow_private=settings.allow_private,
        )
        catalog = Catalog.load(settings.models)
        return cls(settings, clock, catalog, signer, store, uploads, inputs, WorkerPool(store, settings))

    def check_state_folder(self) -> None:
        """See whether jobs and uploads can be written.

        Raises:
            StorageUnavailable: They cannot, most often because the disk is full.
        """
        try:
            self.store.try_writing()
        except OSError as error:
            raise StorageUnavailable(f"the state folder cannot be written: {error.strerror}") from None

    def prune(self) -> None:
        """Delete jobs, results and uploads whose retention has passed."""
        before = self.clock() - self.settings.retention
        self.store.prune(before)
        self.uploads.prune(before)


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    service: Service = request.app.state.service
    return service


InService = Annotated[Service, Depends(service_of)]


def require_key(request: Request, service: InService) -> None:
    """Let only callers with the API key through: ``?api_key=`` as Roboflow's, or a bearer token.

    Raises:
        AuthRefused: It is missing or wrong.
    """
    exposure.require_key(request, service.settings.api_key)


def base_url(request: Request) -> str:
    """Scheme, host and port by which the caller reached us, without a trailing slash."""
    return f"{request.url.scheme}://{request.url.netloc}"


def own_addresses(request: Request) -> list[Address]:
    """By which addresses the caller may know us: the one it asked, and the socket it came in by.

    Raises:
        InputInvalid: The request's Host header is malformed.
    """
    try:
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        asked = Address((request.url.hostname or "").lower(), port)
    except ValueError:
        raise InputInvalid("the request's Host header is malformed") from None
    bound = request.scope.get("server")
    return [asked] if not bound or not bound[1] else [asked, Address(str(bound[0]), int(bound[1]))]
