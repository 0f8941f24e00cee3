"""Brings staged annotations into a model run: one copy of each, however often it is done.

A data row that is in the run already, from an earlier delivery or one that died, is taken out,
with its predictions, and put in anew; only an import that was left open and is exactly what would
be sent is taken over instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tasks.domain.errors import AnnotationsRefused, DeliveryFailed, StillProcessing
from tasks.domain.wording import count_of
from tasks.sinks.labelbox.chunks import Chunk, Staged, chunked
from tasks.sinks.labelbox.imports import FileGone, Import, ImportKind, Imports
from tasks.sinks.labelbox.journal import Journal
from tasks.sinks.labelbox.rows import Refusals
from tasks.sinks.labelbox.workspace import Place

# What an import is told of a feature that was added a moment ago, by a replica that lags.
_LAGS = "ontology does not contain"


class RunUpload:
    """One batch of videos on its way into a model run.

    Args:
        videos: Staged; each has a data row.
    """

    def __init__(self, imports: Imports, journal: Journal, place: Place, videos: Sequence[Staged]) -> None:
        self._imports = imports
        self._journal = journal
        self._place = place
        self._videos = videos
        self.refused: Refusals = {}
        self._box = imports.box

    def __call__(self) -> Refusals:
        """Upload; return the videos that are not in the run as they should be, and why.

        Raises:
            NotThere: The model run is gone.
            Retryable: Nothing is lost or doubled by calling it again.
        """
        chunks = {f"reelroute-{chunk.digest}": chunk for chunk in chunked(self._videos)}
        left = {name.partition(".")[0]: name for name in self._journal.left_open(self._place.run)}
        for base, name in left.items():
            if base not in chunks:
                self._see_off(name)
        begun: dict[str, Import | None] = {}
        for base, chunk in chunks.items():
            if found := self._taken_over(base, left.get(base, ""), chunk):
                begun[base] = found
        kept = {staged.key for base in begun for staged in chunks[base].videos}
        self._make_room([staged for staged in self._videos if staged.key not in kept])
        self._register(list(self._videos))
        for base, chunk in chunks.items():
            if base not in begun:
                begun[base] = self._begin(base, chunk)
        for base, chunk in chunks.items():
            self._settle(begun[base], chunk)
        return self.refused

    def _see_off(self, name: str) -> None:
        """Wait for the end of what a dead process began; it would come on top of what we send."""
        there = self._imports.find(ImportKind.PREDICTIONS, self._place.run, name)
        if there is not None:
            self._imports.ended(there)
        self._journal.close(self._place.run, name)

    def _taken_over(self, base: str, left: str, chunk: Chunk) -> Import | None:
        """The import of exactly these lines that was begun and not settled, unless it went wrong.

        Args:
            left: The name under which it was left open; "" if it was not, on this machine.
        """
        there = self._imports.find(ImportKind.PREDICTIONS, self._place.run, left or base)
        if there is None or not (left or there.is_running):
            return None
        ended = self._imports.ended(there)
        if self._is_sound(ended) and all(self._place.has(staged.key) for staged in chunk.videos):
            return ended
        self._journal.close(self._place.run, ended.name)
        return None

    def _is_sound(self, ended: Import) -> bool:
        """Say whether an import took every line; what cannot be read any more is not."""
        if ended.state == "FAILED":
            return False
        try:
            return not any(status.problem for status in self._imports.statuses(ended))
        except FileGone:
            return False

    def _make_room(self, videos: Sequence[Staged]) -> None:
        """Take out of the run what it has of these videos from before."""
        folded = [staged.key.casefold() for staged in videos]
        if self._place.put.intersection(folded):
            self._place.look_again(self._box)
        old = [self._place.in_run[key] for key in folded if key in self._place.in_run]
        if old:
            self._box.take_from_run(self._place.run, old)
        for key in folded:
            self._place.in_run.pop(key, None)

    def _register(self, videos: list[Staged]) -> None:
        """Put data rows into the run; where that fails, find out whose fault it is."""
        if not videos:
            return
        words = self._box.put_into_run(self._place.run, [staged.key for staged in videos])
        if not words:
            self._place.put.update(staged.key.casefold() for staged in videos)
            return
        if len(videos) == 1:
            why = f"Labelbox does not take {videos[0].delivery.video} into the model run: {words}"
            self.refused[videos[0].job_key] = DeliveryFailed(why)
            return
        half = len(videos) // 2
        self._register(videos[:half])
        self._register(videos[half:])

    def _begin(self, base: str, chunk: Chunk) -> Import | None:
        """Start a chunk's import under a name that is free; None if all of its videos are refused."""
        lines = [line for staged, line in chunk.lines() if staged.job_key not in self.refused]
        if not lines:
            return None
        name, number = base, 1
        while self._imports.find(ImportKind.PREDICTIONS, self._place.run, name):
            number += 1
            name = f"{base}.{number}"
        self._journal.open(self._place.run, name)
        return self._imports.start(ImportKind.PREDICTIONS, self._place.run, name, lines)

    def _settle(self, begun: Import | None, chunk: Chunk) -> None:
        """See an import to its end and tell what it made of each video."""
        if begun is None:
            return
        ended = self._imports.ended(begun)
        if ended.state == "FAILED":
            self._one_by_one(ended, chunk)
        else:
            self._read_statuses(ended, chunk)
        self._journal.close(self._place.run, begun.name)

    def _one_by_one(self, failed: Import, chunk: Chunk) -> None:
        """An import that failed as a whole: let each video try alone, so that one does not fail the rest."""
        videos = [staged for staged in chunk.videos if staged.job_key not in self.refused]
        if len(videos) == 1:
            why = f"Labelbox failed the import of {videos[0].delivery.video}: {self._imports.reason(failed)}"
            self.refused[videos[0].job_key] = AnnotationsRefused(why)
            return
        for staged, start, end in chunk.pieces:
            if staged.job_key not in self.refused:
                alone = Chunk([(staged, start, end)], f"{chunk.digest}-{staged.job_key[:8]}")
                self._settle(self._begin(f"reelroute-{alone.digest}", alone), alone)

    def _read_statuses(self, ended: Import, chunk: Chunk) -> None:
        """Map each annotation's status back to its video."""
        told = {status.uuid: status.problem for status in self._imports.statuses(ended)}
        problems: dict[str, list[str]] = defaultdict(list)
        for staged, line in chunk.lines():
            if problem := told.get(line["uuid"], "Labelbox says nothing of it"):
                problems[staged.job_key].append(f"{line['name']!r}: {problem}")
        videos = {staged.job_key: staged for staged in chunk.videos}
        for job_key, said in problems.items():
            words = f"Labelbox refuses {len(said)} of {count_of(videos[job_key].lines, 'annotation')}, first {said[0]}"
            if job_key not in self.refused:
                lags = all(_LAGS in problem.lower() for problem in said)
                self.refused[job_key] = StillProcessing(words) if lags else AnnotationsRefused(words)
