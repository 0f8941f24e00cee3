"""Try everything that a run of a pipeline needs, one thing after the other; write nothing, pay nothing."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx

from config.pipeline import Pipeline
from config.routes import LabelboxRoute, LightlyRoute, Route
from config.settings import Settings
from config.sources import Source
from tasks.credentials import Blocks, load_credentials
from tasks.discover import filter_of
from tasks.domain.errors import (
    AccessDenied,
    DeliveryFailed,
    InputInvalid,
    ObjectMissing,
    ReelrouteError,
    ServiceUnavailable,
    StorageUnavailable,
)
from tasks.domain.predictions import TaskType
from tasks.domain.video import SignedUrl, VideoRef, printable
from tasks.domain.wording import count_of
from tasks.endpoints import endpoint_of, is_private
from tasks.inference.base import ModelInfo
from tasks.labelbox_setup import look, open_labelbox
from tasks.places import check_place, ends_early, place_of, require_token
from tasks.run import open_service
from tasks.selection import api_of
from tasks.spec import inference_spec
from tasks.storage.base import Storage
from tasks.storage.filters import Tally, select
from tasks.stores import Stores

Status = Literal["ok", "warn", "fail"]

# Objects of a source that are looked through for a first video.
LOOKED_THROUGH = 1000
CLASSES_SHOWN = 8
FETCH_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check told.

    Attributes:
        subject: What was looked at, such as ``sources[0]`` or ``route results``.
        check: What was tried, such as ``list`` or ``sign``.
        status: ``fail`` where a run would fail for it, ``warn`` where it may.
        message, hint: For people; the hint says what to do.
        code: The error's stable name; "" where all is well.
        exit_code: What ``doctor`` returns for it, at least.
    """

    subject: str
    check: str
    status: Status
    message: str
    code: str = ""
    hint: str = ""
    exit_code: int = 0


class Findings(list[Finding]):
    """What all checks told, in their order."""

    def ok(self, subject: str, check: str, message: str) -> None:
        """Note that something works."""
        self.append(Finding(subject, check, "ok", message))

    def warn(self, subject: str, check: str, message: str, code: str) -> None:
        """Note that something may not do what its owner wants."""
        self.append(Finding(subject, check, "warn", message, code))

    @contextmanager
    def trying(self, subject: str, check: str) -> Iterator[None]:
        """Note an error of ours that the block raises, and go on after the block."""
        try:
            yield
        except ReelrouteError as error:
            self.append(Finding(subject, check, "fail", str(error), error.code, error.hint, error.exit_code))

    @property
    def exit_code(self) -> int:
        """0 all well, 1 something is wrong with videos, 2 the input is wrong, 3 a service or store refuses."""
        return max((finding.exit_code for finding in self), default=0)


async def examine(pipeline: Pipeline, settings: Settings) -> Findings:
    """Check credentials, the service, the models, every source and every route.

    Raises:
        InputInvalid: A model file is missing, so that nothing can be started.
    """
    found = Findings()
    inference_spec(pipeline)
    with found.trying("credentials", "load"):
        blocks = await load_credentials(pipeline)
        for scheme, name in blocks:
            found.ok("credentials", "load", f"the block '{name}' for {scheme}:// is there")
        await _Examination(pipeline, settings, blocks, found).everything()
    return found


class _Examination:
    def __init__(self, pipeline: Pipeline, settings: Settings, blocks: Blocks, found: Findings) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._blocks = blocks
        self._found = found
        self._stores = Stores(pipeline, blocks=blocks)
        self._now = datetime.now(UTC)
        self._models: tuple[ModelInfo, ...] = ()

    async def everything(self) -> None:
        async with AsyncExitStack() as stack:
            # The service gives out local files, so it stays until all sources were tried.
            await self._service(stack)
            for i, source in enumerate(self._pipeline.sources):
                await asyncio.to_thread(self._source, f"sources[{i}]", source)
            for route in self._pipeline.routes:
                await asyncio.to_thread(self._route, route)
            await asyncio.to_thread(self._results)

    async def _service(self, stack: AsyncExitStack) -> None:
        spec, model_files = inference_spec(self._pipeline)
        # A service of our own keeps its state where it leaves nothing behind.
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reelroute-doctor-")))
        with self._found.trying("inference", "service"):
            opened = open_service(self._pipeline, self._settings, model_files, self._stores, self._blocks, home=home)
            try:
                backend, base_url = await stack.enter_async_context(opened)
            except ServiceUnavailable as error:
                # Its log goes with its folder; the end of it is in the message.
                error.hint = "" if str(home) in error.hint else error.hint
                raise
            self._found.ok("inference", "service", f"{base_url}, with a key")
            with self._found.trying("inference", "model"):
                self._models = await backend.describe(spec.models)
                for model in self._models:
                    self._found.ok("inference", "model", f"{model.ref}: {model.task}{_classes(model)}")

    def _source(self, subject: str, source: Source) -> None:
        found, video = self._found, None
        with found.trying(subject, "list"):
            video = self._first_video(subject, source)
        if video is None:
            return
        with found.trying(subject, "read"):
            store, key = self._stores.locate(video)
            store.read(key, 0, 1)
            found.ok(subject, "read", f"the first byte of {video}")
        with found.trying(subject, "sign"):
            grant = self._stores.grant(video)
            if not isinstance(grant, SignedUrl):
                found.ok(subject, "sign", "local files are uploaded to the service")
                return
            found.ok(subject, "sign", f"a URL at {urlsplit(grant.url).netloc}")
            self._lifetime(subject, source, grant)
            with found.trying(subject, "fetch"):
                self._refuse_unreachable(source)
                fetch_first_byte(grant, str(video))
                found.ok(subject, "fetch", f"the first byte of {video}, by its signed URL")

    def _first_video(self, subject: str, source: Source) -> VideoRef | None:
        store, prefix = self._stores.source(source)
        tally = Tally()
        objects = islice(store.list(prefix), LOOKED_THROUGH)
        video = next(select(objects, filter_of(source, self._now), name_prefix="", tally=tally), None)
        shown = printable(source.uri)
        if video is not None:
            self._found.ok(subject, "list", f"{shown} has {video}")
        else:
            looked = sum(tally.not_taken.values())
            among = f"has no video among its first {count_of(looked, 'object')}"
            message = f"{shown} {among if looked else 'is empty'}"
            self._found.warn(subject, "list", message, "no_videos")
        return video

    def _lifetime(self, subject: str, source: Source, grant: SignedUrl) -> None:
        if grant.expires_at is None:
            self._found.ok(subject, "lifetime", "the objects are public: their URLs do not end")
            return
        left = grant.expires_at - datetime.now(UTC)
        for warning in ends_early(self._pipeline.inference, source.uri, left):
            self._found.warn(subject, "lifetime", warning, "url_ends_early")
            return
        self._found.ok(subject, "lifetime", f"URLs work until {grant.expires_at:%Y-%m-%d %H:%M} UTC")

    def _refuse_unreachable(self, source: Source) -> None:
        """A URL that works here is no use to a service that cannot come here."""
        endpoint = endpoint_of(source, self._blocks, os.environ)
        service = self._settings.service_for(self._pipeline.inference.backend)
        if service and is_private(endpoint) and not is_private(service):
            raise InputInvalid(
                f"{urlsplit(service).hostname} cannot reach {urlsplit(endpoint).netloc}, which is in a private network",
                hint="use `backend: local`, or a store that the service can reach",
            )

    def _route(self, route: Route) -> None:
        subject = f"route {route.name}"
        if isinstance(route, LabelboxRoute) and route.upload:
            self._upload(subject, route)
            return
        with self._found.trying(subject, "write"):
            place = place_of(route, self._pipeline, self._stores, self._now.date())
            check_place(route, place)
            self._found.ok(subject, "write", f"{printable(place.root)} can be written")
            if isinstance(route, LightlyRoute) and self._models:
                with self._found.trying(subject, "task"):
                    self._found.ok(subject, "task", _lightly_task(place, route, self._models[0]))
        if isinstance(route, LightlyRoute) and route.selection_run:
            with self._found.trying(subject, "selection"), closing(api_of(self._settings)) as api:
                require_token(route, self._settings)
                name = api.dataset_name(route.selection_run.dataset_id)
                self._found.ok(subject, "selection", f"runs over dataset {name} are scheduled at LightlyOne")

    def _upload(self, subject: str, route: LabelboxRoute) -> None:
        with self._found.trying(subject, "look up"):
            box = open_labelbox(self._settings)
            for sentence in look(box, route, self._pipeline.name, self._models, self._now.date()):
                self._found.ok(subject, "look up", sentence)

    def _results(self) -> None:
        with self._found.trying("results store", "write"):
            place = self._stores.output(self._settings.results_url)
            place.check_write()
            self._found.ok("results store", "write", f"{printable(place.root)} can be written")


def _classes(model: ModelInfo) -> str:
    shown = ", ".join(model.classes[:CLASSES_SHOWN])
    more = len(model.classes) - CLASSES_SHOWN
    count = count_of(len(model.classes), "class", "classes")
    return f", {count}: {shown}{f' and {more} more' if more > 0 else ''}" if shown else ""


def _lightly_task(place: Storage, route: LightlyRoute, model: ModelInfo) -> str:
    from tasks.sinks.lightly.kinds import KINDS
    from tasks.sinks.lightly.names import task_slug
    from tasks.sinks.lightly.schema import check_task

    if model.task not in KINDS:
        raise DeliveryFailed(
            f"{model.ref} gives {model.task} predictions, which the lightly route does not take", hint="leave it out"
        )
    task = task_slug(route.task_name)
    there = check_task(place, task, KINDS[model.task].task_type)
    if not there and model.task is TaskType.KEYPOINT_DETECTION and not route.keypoints:
        return f"task '{task}' will be new; the keypoints that its first video shows will be all (see `keypoints`)"
    return f"task '{task}' is there, of the same kind" if there else f"task '{task}' will be new"


def fetch_first_byte(signed: SignedUrl, name: str) -> None:
    """Fetch a byte by a signed URL, as the service will.

    Raises:
        AccessDenied, ObjectMissing: The store refuses the URL.
        StorageUnavailable: It does not answer, or not with the object.
    """
    try:
        with httpx.stream("GET", signed.url, headers={"Range": "bytes=0-0"}, timeout=FETCH_TIMEOUT_S) as answer:
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:  # their texts hold the URL
        raise StorageUnavailable(
            f"the signed URL of {name} cannot be fetched ({type(error).__name__})",
            hint="check that this machine reaches the store by its public name",
        ) from None
    if status in (401, 403):
        raise AccessDenied(
            f"the store refuses the signed URL of {name} ({status})",
            hint="who signs must be allowed to read the object, with the right secret, region and clock",
        )
    if status == 404:
        raise ObjectMissing(f"the signed URL of {name} leads nowhere (404)")
    if status not in (200, 206, 416):  # 416: the object is empty
        raise StorageUnavailable(f"the store answers {status} to the signed URL of {name}")
