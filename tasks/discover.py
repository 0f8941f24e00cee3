"""List the sources and record what is there: the first step of every run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from prefect import get_run_logger, task

from config.pipeline import Pipeline, Source
from tasks.domain.job import InferenceSpec, job_key
from tasks.domain.video import VideoRef
from tasks.policies import PATIENT_STEP
from tasks.run import Run
from tasks.storage.filters import NOT_TAKEN, Filter, Tally, select
from tasks.storage.registry import split_source_uri
from tasks.stores import Stores
from tasks.unforeseen import discreet_step


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a listing found.

    Attributes:
        videos: How many videos match.
        new: How many of them the ledger did not know under this inference.
        not_taken: Reason (see :data:`tasks.storage.filters.NOT_TAKEN`) -> objects.
        warnings: Sentences worth showing, such as a source with no videos.
    """

    videos: int
    new: int
    not_taken: Counter[str] = field(default_factory=Counter)
    warnings: tuple[str, ...] = ()


@task(name="discover", **PATIENT_STEP)
@discreet_step
async def discover_videos(run: Run) -> Discovery:
    """List every source and plan a job for each video; listings stream into the ledger."""
    found = await asyncio.to_thread(record_listing, run)
    log = get_run_logger()
    log.info("%d videos, %d of them new", found.videos, found.new)
    for reason, count in sorted(found.not_taken.items()):
        log.info("%d objects not taken: %s", count, NOT_TAKEN[reason])
    for warning in found.warnings:
        log.warning("%s", warning)
    return found


def record_listing(run: Run) -> Discovery:
    """Stream the sources into the ledger as planned jobs.

    Raises:
        LocationMissing: A source's folder or bucket does not exist.
    """
    listing = Listing(run.pipeline, run.stores, run.started_at)
    new = run.ledger.plan(run.pipeline.name, planned(listing, run.spec), run.started_at)
    return Discovery(listing.videos, new, listing.not_taken, tuple(listing.warnings))


def planned(videos: Iterator[VideoRef], spec: InferenceSpec) -> Iterator[tuple[str, VideoRef, InferenceSpec]]:
    """Pair each video with its job key and spec, as the ledger takes them."""
    for video in videos:
        yield job_key(video, spec), video, spec


class Listing(Iterator[VideoRef]):
    """The videos of all of a run's sources, one after the other, counted as they pass.

    Attributes:
        videos: Given out so far.
        not_taken: Reason -> objects.
        warnings: One for each source that turned out empty, or in which case alone kept files out.
    """

    def __init__(self, pipeline: Pipeline, stores: Stores, now: datetime) -> None:
        self.videos = 0
        self.not_taken: Counter[str] = Counter()
        self.warnings: list[str] = []
        self._videos = self._walk(pipeline, stores, now)

    def __next__(self) -> VideoRef:
        return next(self._videos)

    def _walk(self, pipeline: Pipeline, stores: Stores, now: datetime) -> Iterator[VideoRef]:
        for source, label in zip(pipeline.sources, source_labels(pipeline), strict=True):
            before = self.videos
            store, prefix = stores.source(source)
            tally = Tally()
            for video in select(store.list(prefix), filter_of(source, now), name_prefix=label, tally=tally):
                self.videos += 1
                yield video
            self.not_taken += tally.not_taken
            if self.videos == before:
                self.warnings.append(f"no videos in {source.uri}{_reasons(tally)}")
            if missed := tally.not_taken["case"]:
                self.warnings.append(
                    f"{missed} files in {source.uri} match its include but for upper and lower case, and were not "
                    "taken: write both, as in **/*.[mM][pP]4, or leave include out for every video suffix"
                )


def source_labels(pipeline: Pipeline) -> list[str]:
    """Give each source the first path segment of its videos' names: "" where there is only one.

    Two sources may hold the same key; their outputs must not overwrite each other.
    """
    if len(pipeline.sources) == 1:
        return [""]
    labels: list[str] = []
    for source in pipeline.sources:
        last = source.uri.rstrip("/").rsplit("/", 1)[-1] or "source"
        label, n = last, 2
        while f"{label}/" in labels:
            label, n = f"{last}-{n}", n + 1
        labels.append(f"{label}/")
    return labels


def filter_of(source: Source, now: datetime) -> Filter:
    """The filter that a source's settings describe, at a given time."""
    return Filter(
        include=source.include,
        exclude=source.exclude,
        modified_after=now - source.modified_within if source.modified_within else None,
        min_size=source.min_size,
        max_size=source.max_size,
        prefix=split_source_uri(source.uri)[1],
    )


def _reasons(tally: Tally) -> str:
    if not tally.not_taken:
        return ": it is empty"
    return ": " + "; ".join(
        f"{count} not taken: {NOT_TAKEN[reason]}" for reason, count in sorted(tally.not_taken.items())
    )
