"""Lines of Labelbox' NDJSON for video, as values. No I/O.

Format: Labelbox documentation, "Upload video predictions". A key that the service does not know
makes it refuse the line, so what is not said is left out, never null.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, overload

import msgspec
from msgspec import UNSET, UnsetType


class FrameRange(msgspec.Struct, frozen=True):
    """Frames from ``start`` to ``end``, both included, counted from 1."""

    start: int
    end: int


class Answer(msgspec.Struct, frozen=True):
    """An option that is chosen, for the whole video or for ranges of frames.

    The service refuses a confidence whose children have none, so every answer has one.
    """

    name: str
    confidence: float
    frames: list[FrameRange] | UnsetType = UNSET
    classifications: list[SubAnswer] | UnsetType = UNSET


class SubAnswer(msgspec.Struct, frozen=True):
    """Answer to a question that is asked of an option, or of an object at a keyframe."""

    name: str
    answer: Answer | list[Answer] | str


class TextAnswer(msgspec.Struct, frozen=True):
    """A text that holds for ranges of frames."""

    value: str
    frames: list[FrameRange]


class Bbox(msgspec.Struct, frozen=True):
    """A box in pixels of the upright picture."""

    top: float
    left: float
    height: float
    width: float


class Point(msgspec.Struct, frozen=True):
    """A place in pixels of the upright picture."""

    x: float
    y: float


class BoxKeyframe(msgspec.Struct, frozen=True):
    """Where a box is at a frame, and what is said of the object there."""

    frame: int
    bbox: Bbox
    classifications: list[SubAnswer] | UnsetType = UNSET


class PointKeyframe(msgspec.Struct, frozen=True):
    """Where a point is at a frame."""

    frame: int
    point: Point


class LineKeyframe(msgspec.Struct, frozen=True):
    """Where a polyline is at a frame."""

    frame: int
    line: list[Point]


Keyframe = BoxKeyframe | PointKeyframe | LineKeyframe


class Segment(msgspec.Struct, frozen=True):
    """A stretch of frames in which an object is seen; Labelbox draws straight lines between keyframes."""

    keyframes: list[BoxKeyframe] | list[PointKeyframe] | list[LineKeyframe]


class DataRow(msgspec.Struct, frozen=True, rename="camel"):
    """The video that a line is about."""

    global_key: str


class ObjectLine(msgspec.Struct, frozen=True, rename="camel"):
    """One object through time."""

    uuid: str
    name: str
    data_row: DataRow
    segments: list[Segment]


class AnswerLine(msgspec.Struct, frozen=True, rename="camel"):
    """An answer to a radio, or the answers to a checklist."""

    uuid: str
    name: str
    data_row: DataRow
    answer: Answer | list[Answer]


class TextLine(msgspec.Struct, frozen=True, rename="camel"):
    """A text about the whole video, or texts about ranges of frames."""

    uuid: str
    name: str
    data_row: DataRow
    answer: str | list[TextAnswer]
    confidence: float | UnsetType = UNSET


Line = ObjectLine | AnswerLine | TextLine


class Draft(Protocol):
    """A line that is still numbers, a fraction of its size."""

    def line(self) -> Line:
        """Spell it out."""
        ...


class Lines(Sequence[Line]):
    """Lines that are spelled out one at a time, whenever they are asked for.

    A keyframe is ten times as large as a struct as its numbers are; a video can have millions.
    """

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self._drafts = drafts

    def __len__(self) -> int:
        return len(self._drafts)

    def __iter__(self) -> Iterator[Line]:
        return (draft.line() for draft in self._drafts)

    @overload
    def __getitem__(self, index: int) -> Line: ...

    @overload
    def __getitem__(self, index: slice) -> Lines: ...

    def __getitem__(self, index: int | slice) -> Line | Lines:
        return Lines(self._drafts[index]) if isinstance(index, slice) else self._drafts[index].line()
