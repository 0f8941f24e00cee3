"""Objects through time as boxes, points and polylines. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tasks.domain.predictions import Int64, ModelPredictions
from tasks.sinks.labelbox.answers import Timeline
from tasks.sinks.labelbox.details import Details
from tasks.sinks.labelbox.keyframes import Part, keyframes, segment_bounds
from tasks.sinks.labelbox.lines import (
    Bbox,
    BoxKeyframe,
    DataRow,
    LineKeyframe,
    ObjectLine,
    Point,
    PointKeyframe,
    Segment,
    SubAnswer,
)
from tasks.sinks.labelbox.mapping import ModelMapping
from tasks.sinks.labelbox.places import PER_PIXEL, Places
from tasks.sinks.labelbox.style import Kind
from tasks.sinks.labelbox.tracks import Track

Keyframes = list[BoxKeyframe] | list[PointKeyframe] | list[LineKeyframe]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One tool's places through time.

    Attributes:
        track: The object.
        kind: What the places are.
        name: Of the feature.
        identity: What makes its uuid, within job and model.
        row: int64 [n], which rows of the model's ``Objects`` have a place.
        sample: int64 [n] the sample of each.
        place: int64 [n, d] coordinates in steps of the grid.
    """

    track: Track
    kind: Kind
    name: str
    identity: str
    row: Int64
    sample: Int64
    place: Int64


@dataclass(slots=True)
class ObjectDraft:
    """One object's places, thinned out to keyframes; a line when it is asked for.

    Attributes:
        uuid, name, row: Of the line.
        kind: What the places are.
        detections: How many places there were before.
        first: First frame, from 1.
        merit: Frames from first to last, then confidence.
        parts: Of each segment, frames (from 0) and places of its keyframes, and what is said there.
    """

    uuid: str
    name: str
    row: DataRow
    kind: Kind
    detections: int
    first: int
    merit: tuple[int, float]
    parts: Sequence[tuple[Int64, Int64, Sequence[list[SubAnswer]] | None]]

    @property
    def keyframes(self) -> int:
        """How many keyframes the line has."""
        return sum(len(frame) for frame, _, _ in self.parts)

    def line(self) -> ObjectLine:
        """Spell it out."""
        segments = [Segment(_SPELLED[self.kind](frame + 1, place, said)) for frame, place, said in self.parts]
        return ObjectLine(self.uuid, self.name, self.row, segments)


def sightings(mapping: ModelMapping, tracks: Sequence[Track], places: Places) -> Iterator[Sighting]:
    """Yield each tool of each object with its places; a tool that has none is left out.

    Args:
        tracks: The model's objects.
        places: Where its points and outlines are.
    """
    for track in tracks:
        for kind, name in mapping.tools(track.class_name).items():
            if kind is Kind.BOX:
                yield Sighting(track, kind, name, "", track.row, track.sample, track.edges)
            elif kind is Kind.POINTS:
                for slot, at, place in places.keypoints(track):
                    feature = mapping.keypoint(track.class_name, slot)
                    yield Sighting(track, kind, feature, f"/{slot}", track.row[at], track.sample[at], place)
            else:
                at, place = places.of(kind, track)
                if len(at):
                    yield Sighting(track, kind, name, f" {kind}", track.row[at], track.sample[at], place)


def drafts_of(
    found: Sequence[Sighting],
    model: ModelPredictions,
    timeline: Timeline,
    tolerance_px: float,
    details: Details | None,
    row: DataRow,
    identity: tuple[uuid.UUID, str],
) -> Iterator[ObjectDraft]:
    """Cut each sighting into segments where the object is out of sight, and thin these to keyframes.

    Args:
        found: Of one model.
        tolerance_px: Pixels by which an interpolated coordinate may be off.
        details: What is said of boxes at their keyframes.
        row: The video.
        identity: Of the job and the model; with a sighting's it makes a uuid that never changes.
    """
    tolerance = int(tolerance_px * PER_PIXEL + 1e-9)
    seen = (timeline.time_s, model.inferred, timeline.max_gap_s, timeline.left_out)
    bounds = [segment_bounds(one.sample, *seen) for one in found]
    for width in sorted({one.place.shape[1] for one in found}):
        own = [(one, cuts) for one, cuts in zip(found, bounds, strict=True) if one.place.shape[1] == width]
        parts = (_part(one, cut, timeline, details) for one, cuts in own for cut in cuts)
        kept = keyframes(parts, tolerance)
        for one, cuts in own:
            yield _draft(one, [(cut, next(kept)) for cut in cuts], timeline, details, row, identity)


def _part(one: Sighting, cut: slice, timeline: Timeline, details: Details | None) -> Part:
    """A segment; what is said of a box changes only at keyframes, so both sides of a change are kept."""
    must_keep = details.changes(one.row[cut]) if details and one.kind is Kind.BOX else None
    return Part(timeline.frame_index[one.sample[cut]], one.place[cut], must_keep)


def _draft(
    one: Sighting,
    cuts: Sequence[tuple[slice, Int64]],
    timeline: Timeline,
    details: Details | None,
    row: DataRow,
    identity: tuple[uuid.UUID, str],
) -> ObjectDraft:
    parts = []
    for cut, kept in cuts:
        frame, place = timeline.frame_index[one.sample[cut]][kept], one.place[cut][kept]
        said = details.of(one.row[cut][kept]) if details and one.kind is Kind.BOX else None
        parts.append((frame, place, said))
    first, last = timeline.frame_index[one.sample[[0, -1]]].tolist()
    namespace, prefix = identity
    return ObjectDraft(
        uuid=str(uuid.uuid5(namespace, f"{prefix}/{one.track.number}{one.identity}")),
        name=one.name,
        row=row,
        kind=one.kind,
        detections=len(one.sample),
        first=first + 1,
        merit=(last - first, one.track.confidence),
        parts=parts,
    )


def _boxes(frame: Int64, place: Int64, said: Sequence[list[SubAnswer]] | None) -> list[BoxKeyframe]:
    x0, y0, x1, y1 = place.T
    columns = (frame, y0 / PER_PIXEL, x0 / PER_PIXEL, (y1 - y0) / PER_PIXEL, (x1 - x0) / PER_PIXEL)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    if said is None:
        return [BoxKeyframe(index, Bbox(top, left, high, wide)) for index, top, left, high, wide in rows]
    return [
        BoxKeyframe(index, Bbox(*box), below) if below else BoxKeyframe(index, Bbox(*box))
        for (index, *box), below in zip(rows, said, strict=True)
    ]


def _points(frame: Int64, place: Int64, said: object) -> list[PointKeyframe]:  # noqa: ARG001 (kinds are spelled alike)
    rows = zip(frame.tolist(), (place / PER_PIXEL).tolist(), strict=True)
    return [PointKeyframe(index, Point(x, y)) for index, (x, y) in rows]


def _lines(frame: Int64, place: Int64, said: object) -> list[LineKeyframe]:  # noqa: ARG001 (kinds are spelled alike)
    corners = (place / PER_PIXEL).reshape(len(place), -1, 2).tolist()
    return [
        LineKeyframe(index, [Point(x, y) for x, y in line]) for index, line in zip(frame.tolist(), corners, strict=True)
    ]


_SPELLED: dict[Kind, Callable[[Int64, Int64, Sequence[list[SubAnswer]] | None], Keyframes]] = {
    Kind.BOX: _boxes,
    Kind.POINT: _points,
    Kind.POINTS: _points,
    Kind.OUTLINE: _lines,
    Kind.DIRECTION: _lines,
}
