"""List the sources and record what is there: the first step of every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from config.pipeline import Pipeline, Source
from tasks.domain.job import InferenceSpec, job_key
from tasks.domain.video import VideoRef
from tasks.domain.wording import count_of
from tasks.storage.base import ObjectInfo
from tasks.storage.filters import NOT_TAKEN, Filter, Tally, select
from tasks.storage.registry import split_source_uri
from tasks.stores import Stores

if TYPE_CHECKING:
    from tasks.run import Run


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


def record_listing(run: Run) -> Discovery:
    """List every source and plan a job for each video; listings stream into the ledger.

    Raises:
        LocationMissing: A source's folder or bucket does not exist.
    """
    listing = Listing(run.pipeline, run.stores, run.started_at)
    new = record(run, planned(listing, run.spec))
    return Discovery(listing.videos, new, listing.not_taken, tuple(listing.warnings))


def record(run: Run, found: Iterable[tuple[str, VideoRef, InferenceSpec]]) -> int:
    """Plan jobs of what was found just now, and have routes show again what came back; return how many are new."""
    name = run.pipeline.name
    new = run.ledger.plan(name, found, run.started_at)
    for key, route in run.ledger.overtaken(name, run.spec, seen_since=run.started_at):
        run.ledger.reset_delivery(name, key, route, run.clock())
    return new


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
        for index, (source, label) in enumerate(zip(pipeline.sources, source_labels(pipeline), strict=True)):
            before = self.videos
            store, prefix = stores.source(source)
            tally, later = Tally(), _Later(source, pipeline.sources[index + 1 :], now)
            for video in select(
                later.left_by(store.list(prefix)), filter_of(source, now), name_prefix=label, tally=tally
            ):
                self.videos += 1
                yield video
            self.not_taken += tally.not_taken
            if self.videos == before and not later.taken:
                self.warnings.append(f"no videos in {source.uri}{_reasons(tally)}")
            if missed := tally.not_taken["case"]:
                self.warnings.append(
                    f"{count_of(missed, 'file')} in {source.uri} not taken, as include says it in other case: "
                    "write both, as in **/*.[mM][pP]4, or leave include out for every video suffix"
                )


class _Later:
    """What sources that stand behind one take of its objects: a video of several sources comes once, with the last.

    Attributes:
        taken: How many objects they took.
    """

    def __init__(self, source: Source, others: Sequence[Source], now: datetime) -> None:
        self.taken = 0
        # Elsewhere the same name is another object.
        near = [
            other for other in others if (other.endpoint_url, other.account) == (source.endpoint_url, source.account)
        ]
        self._filters = [(other.uri, split_source_uri(other.uri)[0], filter_of(other, now)) for other in near]

    def left_by(self, objects: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
        """The objects that none of them takes."""
        for found in objects:
            if any(self._takes(found, *other) for other in self._filters):
                self.taken += 1
            else:
                yield found

    @staticmethod
    def _takes(found: ObjectInfo, uri: str, root: str, wanted: Filter) -> bool:
        # A source may be written without its slash: `s3://match` does not mean the bucket `match-2`.
        within = found.uri.startswith(uri) and found.uri.startswith(root)
        return within and not wanted.reason_against(replace(found, key=found.uri[len(root) :]))


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
