"""Where the points and polylines of objects are, on a grid in the upright picture. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tasks.domain.predictions import Int64, ModelPredictions
from tasks.domain.video import VideoInfo
from tasks.sinks.geometry import Float64, place_points
from tasks.sinks.labelbox.outlines import aligned, even_corners, outline_of
from tasks.sinks.labelbox.style import Kind
from tasks.sinks.labelbox.tracks import Track

# Coordinates are written to a tenth of a pixel.
PER_PIXEL = 10
# Points so far beyond the edge are taken as on it; what is farther is out of the picture.
_EDGE_PX = 1.0
# A gaze is drawn as long as this many faces are wide, if it goes across the picture.
_FACES = 1.5


class Places:
    """Places of one model's objects other than their boxes.

    Attributes:
        outside: How many keypoints were left out because they lie beyond the picture.

    Args:
        vertices: Corners of an outline.

    Raises:
        DeliveryFailed: An inferred image has neither shape of the video.
    """

    def __init__(self, model: ModelPredictions, info: VideoInfo, vertices: int) -> None:
        self._model, self._info, self._vertices = model, info, vertices
        self._limit = np.array(info.display_size, np.float64)
        objects = model.objects
        owner = np.repeat(objects.sample, np.diff(objects.keypoint_start))
        placed = place_points(model, info, objects.keypoint[:, :2], owner, upright=True)
        inside = ((placed >= -_EDGE_PX) & (placed <= self._limit + _EDGE_PX)).all(axis=1)
        sure = objects.keypoint[:, 2] > 0
        self.outside = int((sure & ~inside).sum())
        self._seen = sure & inside
        self._keypoint = self._grid(placed)

    def of(self, kind: Kind, track: Track) -> tuple[Int64, Int64]:
        """Where the object's point or polyline is.

        Returns:
            Positions in the track that have one, and int64 [n, d] places.
        """
        match kind:
            case Kind.POINT:
                return np.arange(len(track.row)), (track.edges[:, :2] + track.edges[:, 2:] + 1) // 2
            case Kind.OUTLINE:
                return self._outlines(track)
            case _:
                return self._directions(track)

    def keypoints(self, track: Track) -> Iterator[tuple[str, Int64, Int64]]:
        """Yield the name of each keypoint that the object ever shows, positions in the track, and places.

        A keypoint of confidence 0 is not seen. Of two with one name in a frame, the first counts.
        """
        start = self._model.objects.keypoint_start
        count = start[track.row + 1] - start[track.row]
        position = np.repeat(np.arange(len(track.row)), count)
        first = np.cumsum(count) - count
        index = np.arange(len(position)) + (start[track.row] - first)[position]
        seen = self._seen[index]
        position, index = position[seen], index[seen]
        slot = self._model.objects.keypoint_class[index]
        for code in np.unique(slot).tolist():
            at, where = np.unique(position[slot == code], return_index=True)
            yield self._model.keypoint_classes[code], at, self._keypoint[index[slot == code][where]]

    def _outlines(self, track: Track) -> tuple[Int64, Int64]:
        """Closed polylines of as many corners everywhere; the last corner is the first again."""
        at, places = [], []
        before: Float64 | None = None
        for position, (row, sample) in enumerate(zip(track.row.tolist(), track.sample.tolist(), strict=True)):
            outline = outline_of(self._model, row)
            if outline is None:
                continue
            owner = np.full(len(outline), sample, np.int32)
            corners = even_corners(place_points(self._model, self._info, outline, owner, upright=True), self._vertices)
            before = corners if before is None else aligned(corners, before)
            at.append(position)
            places.append(self._grid(np.vstack((before, before[:1]))).ravel())
        return np.array(at, np.int64), np.array(places, np.int64).reshape(len(at), 2 * (self._vertices + 1))

    def _directions(self, track: Track) -> tuple[Int64, Int64]:
        """Lines from the middle of the face to where it looks, within the picture and never of no length.

        Formula: the gaze example of Roboflow's inference server, (-sin yaw cos pitch, -sin pitch).
        """
        objects = self._model.objects
        gaze = objects.gaze
        if gaze is None:
            return np.zeros(0, np.int64), np.zeros((0, 4), np.int64)
        yaw, pitch = gaze[track.row].astype(np.float64).T
        towards = np.column_stack((-np.sin(yaw) * np.cos(pitch), -np.sin(pitch)))
        box = objects.box[track.row].astype(np.float64)
        start = place_points(self._model, self._info, box[:, :2], track.sample, upright=True)
        end = place_points(
            self._model, self._info, box[:, :2] + towards * _FACES * box[:, 2:3], track.sample, upright=True
        )
        start = np.clip(start, 0, self._limit)
        grid = np.hstack((self._grid(start), self._grid(start + self._within(start, end - start))))
        still = (grid[:, :2] == grid[:, 2:]).all(axis=1)
        # Who looks into the camera looks nowhere in the picture: a pixel to the right, or to the left at its edge.
        one = np.where(grid[still, 0] + PER_PIXEL <= self._limit[0] * PER_PIXEL, PER_PIXEL, -PER_PIXEL)
        grid[still, 2] += one
        return np.arange(len(track.row)), grid

    def _within(self, start: Float64, step: Float64) -> Float64:
        """Shorten steps that lead out of the picture to its edge, in their direction."""
        room = np.where(step > 0, self._limit - start, start)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(step != 0, room / np.abs(step), np.inf).min(axis=1, keepdims=True)
        shortened: Float64 = step * np.minimum(part, 1.0)
        return shortened

    def _grid(self, points: Float64) -> Int64:
        """Clip to the picture and round to the grid."""
        return np.rint(np.clip(points, 0, self._limit) * PER_PIXEL).astype(np.int64)
