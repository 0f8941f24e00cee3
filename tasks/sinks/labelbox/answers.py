"""Statements about frames as answers to an ontology's questions: for ranges of frames, or for the video. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import Bool, Int64
from tasks.sinks.labelbox.lines import Answer, AnswerLine, DataRow, FrameRange, Line, SubAnswer, TextAnswer, TextLine
from tasks.sinks.labelbox.mapping import ModelMapping
from tasks.sinks.labelbox.statements import Statements, by_sample
from tasks.sinks.labelbox.style import BOXED, Kind

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The samples of a video.

    Attributes:
        frame_index: int64 [F] frame of each sample, from 0.
        time_s: float64 [F].
        step: Frames from a sample to the next, as it was asked for.
        step_s: The same in seconds.
        frame_count: Frames of the video.
        max_gap_s: What lies further apart is not joined.
        left_out: bool [F], samples over which nothing is joined: boxes have no place in their pictures.
    """

    frame_index: Int64
    time_s: NDArray[np.float64]
    step: int
    step_s: float
    frame_count: int
    max_gap_s: float
    left_out: Bool

    def ranges(self, holds: Bool, looked: Bool) -> list[FrameRange]:
        """Frames for which something holds that holds at some samples; classifications are not interpolated.

        A sample speaks for the frames up to the next sample, the last one for as many as lie between
        samples; neither for more than the larger of ``max_gap_s`` and a step. Two samples with none
        between them that was looked at are joined within ``max_gap_s``.
        """
        held = np.flatnonzero(holds)
        start = self.frame_index[held] + 1
        end = np.minimum(self._ends()[held], self.frame_count)
        apart = self.frame_index[held[1:]] + 1 - end[:-1] > 1
        seen = np.concatenate(([0], np.cumsum(looked)))
        unseen = seen[held[1:]] == seen[held[:-1] + 1]
        near = np.diff(self.time_s[held]) <= self.max_gap_s + 1e-6
        cuts = np.flatnonzero(apart & ~(unseen & near)) + 1
        firsts, lasts = np.concatenate(([0], cuts)), np.concatenate((cuts, [len(held)])) - 1
        pairs = zip(start[firsts].tolist(), end[lasts].tolist(), strict=True) if len(held) else ()
        return [FrameRange(first, last) for first, last in pairs]

    def _ends(self) -> Int64:
        """The last frame, from 1, that each sample speaks for."""
        alone = self.frame_index + self.step
        near = np.diff(self.time_s) <= max(self.max_gap_s, self.step_s) + 1e-6
        ends = alone.copy()
        ends[:-1] = np.where(near, self.frame_index[1:], np.minimum(alone[:-1], self.frame_index[1:]))
        return ends


@dataclass(frozen=True, slots=True)
class _Said:
    """An option that is chosen, with what is chosen below it.

    Attributes:
        paths: All of the answers, each a path that begins with the same option.
        confidence: Of each, in the same order.
        frames: Where; empty for the whole video.
    """

    paths: tuple[Path, ...]
    confidence: tuple[float, ...]
    frames: list[FrameRange]


@dataclass(frozen=True, slots=True)
class AnswerDraft:
    """An answer, ready to be a line.

    Attributes:
        name: The question's name.
        first: First frame that it speaks of, from 1.
        merit: Frames that it speaks of, then confidence.
        made: The line.
    """

    name: str
    first: int
    merit: tuple[int, float]
    made: Line

    def line(self) -> Line:
        """Return the line."""
        return self.made


class Answers:
    """Answers to the question of one model.

    Args:
        mapping: The model, and what becomes of it.
        said: What it says.
        timeline: Of the video.
        row: The video.
        identity: Of the job and the model; with an answer it makes a uuid that never changes.
    """

    def __init__(
        self, mapping: ModelMapping, said: Statements, timeline: Timeline, row: DataRow, identity: tuple[uuid.UUID, str]
    ) -> None:
        self._mapping, self._said, self._timeline, self._row = mapping, said, timeline, row
        self._namespace, self._prefix = identity
        self.name = mapping.question_name

    def drafts(self) -> Iterator[AnswerDraft]:
        """Yield a line for each answer to a radio, and one for a checklist or a text."""
        if not len(self._said.sample):
            return
        kind = self._mapping.question
        if kind is Kind.TEXT:
            yield self._text()
            return
        said = self._for_the_video() if self._mapping.style.per_video else self._by_frames()
        if kind is Kind.RADIO:
            for one in said:
                path = self._mapping.style.separator.join(one.paths[0])
                identity = "" if self._mapping.style.per_video else f"/{path}"
                yield self._draft(identity, [one], self._answer(one))
        else:
            yield self._draft("", said, [self._answer(one) for one in said])

    def _draft(self, identity: str, said: Sequence[_Said], answer: Answer | list[Answer]) -> AnswerDraft:
        line = AnswerLine(self._uuid(identity), self.name, self._row, answer)
        return AnswerDraft(self.name, *_extent(said, self._timeline.frame_count), line)

    def _uuid(self, identity: str) -> str:
        return str(uuid.uuid5(self._namespace, f"{self._prefix}/answers/{self.name}{identity}"))

    def _by_frames(self) -> list[_Said]:
        """Everything that is said, each with its frames, in the order in which it is first said."""
        groups: dict[tuple[Path, ...], list[tuple[int, tuple[float, ...]]]] = {}
        for sample, paths in self._chosen():
            by_option: dict[str, dict[Path, float]] = {}
            for path, confidence in paths.items():
                by_option.setdefault(path[0], {})[path] = confidence
            for chosen in by_option.values():
                key = tuple(sorted(chosen))
                groups.setdefault(key, []).append((sample, tuple(chosen[path] for path in key)))
        result = []
        for key, entries in groups.items():
            holds = np.zeros(len(self._said.looked), np.bool_)
            holds[[sample for sample, _ in entries]] = True
            confidence = np.mean([values for _, values in entries], axis=0).tolist()
            result.append(_Said(key, tuple(confidence), self._timeline.ranges(holds, self._said.looked)))
        return result

    def _for_the_video(self) -> list[_Said]:
        """What is said of the video: by a radio what has the most confidence in sum, by a checklist everything."""
        total: dict[Path, list[float]] = {}
        for _, paths in self._chosen():
            for path, confidence in paths.items():
                total.setdefault(path, []).append(confidence)
        if self._mapping.question is Kind.RADIO:
            surest = max(total, key=lambda path: sum(total[path]))
            total = {surest: total[surest]}
        by_option: dict[str, list[Path]] = {}
        for path in sorted(total):
            by_option.setdefault(path[0], []).append(path)
        return [
            _Said(tuple(paths), tuple(float(np.mean(total[path])) for path in paths), [])
            for paths in by_option.values()
        ]

    def _chosen(self) -> Iterator[tuple[int, Mapping[Path, float]]]:
        """Yield each sample's answers; of two classes that are one answer, the surer."""
        said = self._said
        answers = [self._mapping.answer(name) for name in said.names]
        for sample, rows in by_sample(said):
            paths: dict[Path, float] = {}
            for code, confidence in zip(said.code[rows].tolist(), said.confidence[rows].tolist(), strict=True):
                path = answers[code]
                paths[path] = max(confidence, paths.get(path, 0.0))
            yield sample, paths

    def _answer(self, said: _Said) -> Answer:
        """Spell an option with everything below it; children of an answer with confidence need one too."""
        below = dict(zip(said.paths, said.confidence, strict=True))
        answer = self._tree(below, said.paths[0][:1])
        return msgspec.structs.replace(answer, frames=said.frames) if said.frames else answer

    def _tree(self, paths: Mapping[Path, float], here: Path) -> Answer:
        depth = len(here)
        inside = {path: confidence for path, confidence in paths.items() if path[:depth] == here}
        confidence = round(max(inside.values()), 4)
        nested = dict.fromkeys(path[: depth + 1] for path in inside if len(path) > depth)
        if not nested:
            return Answer(here[-1], confidence)
        children = [self._tree(inside, child) for child in nested]
        many = self._mapping.question is Kind.CHECKLIST
        below = SubAnswer(self._mapping.sub_question(here), children if many else children[0])
        return Answer(here[-1], confidence, classifications=[below])

    def _text(self) -> AnswerDraft:
        """One line: texts with their frames, or the one text that has the most confidence in sum."""
        by_text: dict[str, list[int]] = {}
        for row, code in enumerate(self._said.code.tolist()):
            by_text.setdefault(self._value(self._said.names[code]), []).append(row)
        said = []
        for text, rows in by_text.items():
            holds = np.zeros(len(self._said.looked), np.bool_)
            holds[self._said.sample[rows]] = True
            frames = self._timeline.ranges(holds, self._said.looked)
            said.append(_Said(((text,),), (float(self._said.confidence[rows].mean()),), frames))
        identity = self._uuid("")
        if self._mapping.style.per_video:
            text = max(by_text, key=lambda text: float(self._said.confidence[by_text[text]].sum()))
            confidence = round(float(self._said.confidence[by_text[text]].mean()), 4)
            line = TextLine(identity, self.name, self._row, text, confidence)
        else:
            # Labelbox has no place for the confidence of a text that holds for some frames.
            values = [TextAnswer(one.paths[0][0], one.frames) for one in said]
            line = TextLine(identity, self.name, self._row, values)
        return AnswerDraft(self.name, *_extent(said, self._timeline.frame_count), line)

    def _value(self, name: str) -> str:
        # What objects spell is a text already; a class that is a text may have another name.
        return name if self._mapping.task in BOXED else self._mapping.word(name)


def _extent(said: Sequence[_Said], frame_count: int) -> tuple[int, tuple[int, float]]:
    """First frame, and rank: how many frames are spoken of, and how surely."""
    frames = [span for one in said for span in one.frames] or [FrameRange(1, frame_count)]
    confidence = max(max(one.confidence) for one in said)
    return min(span.start for span in frames), (sum(span.end - span.start + 1 for span in frames), confidence)
