"""Which pipelines want an object that landed: by their sources and filters, never their own outputs."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from config.locations import expand
from config.pipeline import Pipeline
from config.routes import LightlyRoute, Route
from config.settings import Settings
from config.sources import Source
from tasks.discover import filter_of
from tasks.domain.upload import UploadEvent
from tasks.storage.base import ObjectInfo
from tasks.storage.registry import split_source_uri


@dataclass(slots=True)
class Matched:
    """What is to be done about some events.

    Attributes:
        wanted: (pipeline, event), once for each pipeline that wants it.
        ignored: Reason -> events that nobody wants: ``place`` (in no pipeline's source), ``output``
            (one of our own), and what filters say (``marker``, ``suffix``, ``include``, …).
    """

    wanted: list[tuple[str, UploadEvent]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


class Matcher:
    """Knows the sources of some pipelines, and where all of them write."""

    def __init__(self, pipelines: Sequence[Pipeline], settings: Settings) -> None:
        self._pipelines = tuple(pipelines)
        places = [place for pipeline in pipelines for route in pipeline.routes if (place := _written_below(route))]
        names = [pipeline.name for pipeline in pipelines]
        self._outputs = [*(_pattern(place, names) for place in places), _pattern(settings.results_url, ())]

    def match(self, events: Iterable[UploadEvent], now: datetime) -> Matched:
        """Find who wants each event, as far as it tells; the run looks at the object itself once more."""
        matched = Matched()
        for event in events:
            reason = self._match(event, now, matched)
            if reason:
                matched.ignored[reason] += 1
        return matched

    def _match(self, event: UploadEvent, now: datetime, matched: Matched) -> str:
        """Add the pipelines that want an event; else say why none does."""
        reasons: list[str] = []
        found = False
        for pipeline in self._pipelines:
            source = source_of(pipeline, event)
            if source is None:
                continue
            reason = self._reason_against(source, event, now)
            if reason:
                reasons.append(reason)
            else:
                matched.wanted.append((pipeline.name, event))
                found = True
        return "" if found else (reasons or ["place"])[0]

    def _reason_against(self, source: Source, event: UploadEvent, now: datetime) -> str:
        # A source within such a place was meant: one pipeline may go on with what another made.
        if any(output.match(event.uri) and not output.match(source.uri) for output in self._outputs):
            return "output"
        return reason_against(source, event, now)


def source_of(pipeline: Pipeline, event: UploadEvent) -> Source | None:
    """The source of a pipeline that lists an event's object, the nearest to it where one is within another."""
    around = [
        source
        for source in pipeline.sources
        if event.uri.startswith(source.uri)
        and _same_account(source, event)
        # A source may be written without its slash: `s3://match` does not mean the bucket `match-2`.
        and event.uri.startswith(split_source_uri(source.uri)[0])
    ]
    return max(around, key=lambda source: len(source.uri), default=None)


def reason_against(source: Source, event: UploadEvent, now: datetime) -> str:
    """Why a source's filter leaves an event's object out, or ""."""
    root, _ = split_source_uri(source.uri)
    wanted = filter_of(source, now)
    # Without a size any will do: the run looks.
    size = event.size if event.size is not None else wanted.min_size or wanted.max_size or 1
    found = ObjectInfo(event.uri[len(root) :], event.uri, event.version, size, now)
    return wanted.reason_against(found)


def _same_account(source: Source, event: UploadEvent) -> bool:
    if event.scheme != "az" or not event.account or source.endpoint_url:
        return True
    known = source.account or os.environ.get("AZURE_STORAGE_ACCOUNT") or event.account
    return known == event.account


def _written_below(route: Route) -> str:
    """Where a route writes; a Lightly datasource may be where the videos are, and only its own folder is ours."""
    return f"{route.location}.lightly/" if isinstance(route, LightlyRoute) else route.location


def _pattern(place: str, names: Sequence[str]) -> re.Pattern[str]:
    """What begins with a place that we write to, whatever the day."""
    day, name = "0001-01-01", "{pipeline}"
    expanded = re.escape(expand(place, datetime(1, 1, 1, tzinfo=UTC).date(), name))
    several = "|".join(re.escape(one) for one in names) or r"[a-z0-9-]+"
    pattern = expanded.replace(re.escape(day), r"\d{4}-\d\d-\d\d").replace(re.escape(name), f"(?:{several})")
    return re.compile(pattern, re.DOTALL)
