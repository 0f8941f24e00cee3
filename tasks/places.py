"""Look at every place that a pipeline reads or writes, before anything is paid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from config.inference import Inference
from config.locations import expand
from config.pipeline import Pipeline
from config.routes import LightlyRoute, Route
from config.settings import Settings
from tasks.domain.errors import InputInvalid, KeyUnsafe, ReelrouteError
from tasks.domain.video import SignedUrl, VideoRef, printable
from tasks.storage.base import ConditionsUnknown, Storage
from tasks.stores import Stores

# Between signing and looking at what was signed.
_SLACK = timedelta(minutes=1)


def check_places(pipeline: Pipeline, settings: Settings, stores: Stores, day: date) -> None:
    """Ask each source for its first object, and each place for results whether it can be written.

    Raises:
        InputInvalid, LocationMissing: A place does not exist, its keys are wrong, or a token is missing.
        AccessDenied, StorageUnavailable: A store refuses us, or does not answer.
    """
    for source in pipeline.sources:
        store, prefix = stores.source(source)
        next(store.list(prefix), None)
    for route in pipeline.routes:
        require_token(route, settings)
        if not route.location:
            continue
        try:
            check_place(route, place_of(route, pipeline, stores, day))
        except ReelrouteError as error:
            raise type(error)(f"route {route.name}: {error.message}", hint=error.hint) from None
    stores.output(settings.results_url).check_write()


def check_place(route: Route, place: Storage) -> None:
    """Ask whether a route's place can be written, as the route writes.

    Raises:
        ConditionsUnknown: The route has documents that several runs change, and the store cannot keep them apart.
        AccessDenied, LocationMissing, StorageUnavailable: It cannot be written at all.
    """
    if not place.check_write() and route.shares_documents:
        raise ConditionsUnknown(
            f"{printable(place.root)} takes no conditional writes (If-Match), and without them runs at one time "
            f"would undo each other's changes of the documents that a {route.to} route keeps"
        )


def require_token(route: Route, settings: Settings) -> None:
    """Refuse a route that asks for a selection run that nobody could schedule.

    Raises:
        InputInvalid: There is no token.
    """
    if isinstance(route, LightlyRoute) and route.selection_run and settings.lightly_token is None:
        raise InputInvalid(f"route {route.name} has a `selection_run`, and LIGHTLY_TOKEN is not set")


def place_of(route: Route, pipeline: Pipeline, stores: Stores, day: date) -> Storage:
    """The store that a route writes to on a day."""
    return stores.output(expand(route.location, day, pipeline.name), route)


class Firsts:
    """Remembers one video of each source, to look at what holds for the others too."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._videos: dict[str, VideoRef] = {}

    def add(self, video: VideoRef) -> None:
        """Take the video if it is its source's first."""
        source = self._stores.source_of(video)
        if source is not None:
            self._videos.setdefault(source.uri, video)

    def __iter__(self) -> Iterator[tuple[str, VideoRef]]:
        return iter(self._videos.items())


def lifetime_warnings(pipeline: Pipeline, stores: Stores, firsts: Firsts, now: datetime) -> list[str]:
    """Sign a URL of each source; say of which they stop working before the pipeline's deadline.

    Raises:
        NotSignable: A cloud's credentials sign nothing, or not for long enough.
        StorageUnavailable, AccessDenied: The signature is made elsewhere, and was not.
    """
    warnings = []
    for uri, video in firsts:
        try:
            grant = stores.grant(video)
        except KeyUnsafe:  # of this video only, which is told where it is submitted
            continue
        if isinstance(grant, SignedUrl) and grant.expires_at is not None:
            warnings += ends_early(pipeline.inference, uri, grant.expires_at - now)
    return warnings


def ends_early(wanted: Inference, uri: str, left: timedelta) -> list[str]:
    """Say so if URLs of a source that work for ``left`` do not outlast the deadline; at most one sentence."""
    left = timedelta(seconds=round(left.total_seconds()))
    if left >= wanted.deadline:
        return []
    why = "for url_lifetime says so" if left >= wanted.url_lifetime - _SLACK else "when the credentials do"
    warning = (
        f"signed URLs of {printable(uri)} end after {left}, {why}, and the deadline is {wanted.deadline}: "
        "a job that waits longer than that in the service's queue cannot read its video"
    )
    return [warning]
