"""Boxes, points and maps of the inferred image, brought to the frame that a route writes for.

Pure arithmetic on columns; no I/O and no vendor's format. The inferred image may be smaller
than the video's frame, and upright where the stored (coded) frame lies on its side: services
decode as players do and turn the frame, PyAV does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import DeliveryFailed
from tasks.domain.orientation import to_coded, to_upright
from tasks.domain.predictions import Bool, Float32, Int32, Int64, ModelPredictions
from tasks.domain.video import VideoInfo

Float64 = NDArray[np.float64]
Size = tuple[int, int]  # width, height

# Resizing rounds a side to whole pixels; more than this is another shape of frame.
_ROUNDING_PX = 1.0


@dataclass(frozen=True, slots=True)
class PlacedBoxes:
    """Boxes in pixels of one frame.

    Attributes:
        edges: float64 [N, 4], left, top, right, bottom; may lie beyond the frame.
        width, height: The frame's size.
    """

    edges: Float64
    width: int
    height: int


def place_boxes(model: ModelPredictions, info: VideoInfo, *, upright: bool) -> PlacedBoxes:
    """Give every box of the model in pixels of the upright frame, or of the coded one.

    A frame whose image size the service did not give counts as upright and full-sized.

    Raises:
        DeliveryFailed: A box is not finite or has a negative side, or an inferred image has
            neither shape of the video.
    """
    _require_numbers(model, model.objects.box, model.objects.confidence)
    _require_sizes(model, info)
    edges = _place(model, info, edges_of(model.objects.box), model.objects.sample, upright=upright)
    frame = info.display_size if upright else (info.width, info.height)
    return PlacedBoxes(edges, *frame)


def place_points(
    model: ModelPredictions, info: VideoInfo, points: NDArray[np.floating], sample: Int64 | Int32, *, upright: bool
) -> Float64:
    """Give points in pixels of the upright frame, or of the coded one.

    Args:
        points: [n, 2] x, y in pixels of the inferred image; (0, 0) is its outer corner. May lie beyond it.
        sample: [n] the sample in whose image each point lies.

    Raises:
        DeliveryFailed: An inferred image has neither shape of the video.
    """
    corners = np.tile(points.astype(np.float64), 2)
    return _place(model, info, corners, sample, upright=upright)[:, :2]


def place_map(labels: NDArray[np.generic], info: VideoInfo, *, upright: bool) -> NDArray[np.generic]:
    """Bring a picture of the inferred image (a mask, a map of classes) to the frame, pixel by pixel.

    Args:
        labels: [height, width]; a pixel of the frame gets the value of the one that shows it.

    Raises:
        DeliveryFailed: It has neither shape of the video.
    """
    height, width = labels.shape
    seen_upright = is_upright((width, height), info)
    frame_width, frame_height = info.display_size if seen_upright else (info.width, info.height)
    if (width, height) != (frame_width, frame_height):
        row = (np.arange(frame_height) * 2 + 1) * height // (2 * frame_height)
        column = (np.arange(frame_width) * 2 + 1) * width // (2 * frame_width)
        labels = labels[row[:, None], column]
    if seen_upright == upright:
        return labels
    turn = to_upright if upright else to_coded
    return turn(labels, info.rotation, mirrored=info.mirrored)


def require_placeable(model: ModelPredictions, info: VideoInfo) -> None:
    """Make sure that whatever the model found can be placed in the video's frames.

    Raises:
        DeliveryFailed: A coordinate is not finite, a box has a negative side, or an inferred image
            has neither shape of the video.
    """
    objects = model.objects
    _require_numbers(model, objects.box, objects.confidence, objects.polygon, objects.keypoint)
    _require_sizes(model, info)


def _require_sizes(model: ModelPredictions, info: VideoInfo) -> None:
    for size in _inferred_sizes(model):
        is_upright(size, info)


def _require_numbers(model: ModelPredictions, box: Float32, *others: Float32) -> None:
    if not all(np.isfinite(each).all() for each in (box, *others)) or (box[:, 2:] < 0).any():
        raise DeliveryFailed(
            f"model {model.model!r} predicted a box that is no box (NaN, infinite or of negative size)",
            hint="the results cannot be trusted; the results route still keeps them as they came",
        )


def edges_of(box: Float32) -> Float64:
    """Turn centre x, centre y, width, height into left, top, right, bottom."""
    centre, half = box[:, :2].astype(np.float64), box[:, 2:].astype(np.float64) / 2
    return np.hstack((centre - half, centre + half))


def turned(edges: Float64, size: Size, degrees: int) -> Float64:
    """Follow boxes of a ``size`` frame when the frame is turned counter-clockwise.

    Args:
        edges: [N, 4] left, top, right, bottom before.
        size: Width and height before.
        degrees: A multiple of 90.
    """
    width, height = size
    left, top, right, bottom = edges.T
    match degrees % 360:
        case 90:
            return np.column_stack((top, width - right, bottom, width - left))
        case 180:
            return np.column_stack((width - right, height - bottom, width - left, height - top))
        case 270:
            return np.column_stack((height - bottom, left, height - top, right))
        case _:
            return edges


def snap(placed: PlacedBoxes, *, per_pixel: int) -> tuple[Int64, Bool]:
    """Clip boxes to the frame and round their edges to a grid; a side is never under one pixel.

    Args:
        per_pixel: Steps of the grid in a pixel.

    Returns:
        int64 [N, 4] left, top, right, bottom in steps of the grid, all within the frame, and
        bool [N]: False where nothing of the box lies in the frame (its edges then mean nothing).
    """
    left, top, right, bottom = placed.edges.T
    visible = (right > 0) & (bottom > 0) & (left < placed.width) & (top < placed.height)
    limit = np.array((placed.width, placed.height))
    grid = np.rint(np.clip(placed.edges, 0, np.tile(limit, 2)) * per_pixel).astype(np.int64)
    low = np.minimum(grid[:, :2], (limit - 1) * per_pixel)
    high = np.maximum(grid[:, 2:], low + per_pixel)
    return np.hstack((low, high)), visible


def orientation_warning(info: VideoInfo) -> str | None:
    """Say so when the size of the inferred image cannot tell whether the service turned it."""
    if (info.rotation % 360 or info.mirrored) and info.display_size == (info.width, info.height):
        stored = f"turned by {info.rotation} degrees" + (" and mirrored" if info.mirrored else "")
        return f"the video is stored {stored}; its boxes are taken as of the upright picture"
    return None


def _inferred_sizes(model: ModelPredictions) -> list[Size]:
    return [(width, height) for width, height in np.unique(model.image_size[model.inferred], axis=0).tolist()]


def _place(
    model: ModelPredictions, info: VideoInfo, edges: Float64, sample: Int64 | Int32, *, upright: bool
) -> Float64:
    """Place boxes of any samples of the model; each sample's image has its own size."""
    size_of_row = model.image_size[sample]
    for size in _inferred_sizes(model):
        rows = (size_of_row == size).all(axis=1)
        edges[rows] = _placed(edges[rows], size, info, upright=upright)
    return edges


def _placed(edges: Float64, inferred: Size, info: VideoInfo, *, upright: bool) -> Float64:
    """Scale boxes of images of one size to the frame they show, then turn them if need be."""
    coded = (info.width, info.height)
    seen_upright = is_upright(inferred, info)
    frame = info.display_size if seen_upright else coded
    if 0 not in inferred:
        edges = edges * np.tile(np.array(frame) / np.array(inferred), 2)
    if seen_upright == upright:
        return edges
    if upright:
        edges = turned(edges, coded, info.rotation)
        return _mirrored(edges, info.display_size) if info.mirrored else edges
    edges = _mirrored(edges, info.display_size) if info.mirrored else edges
    return turned(edges, info.display_size, -info.rotation)


def _mirrored(edges: Float64, size: Size) -> Float64:
    """Follow boxes of a ``size`` frame when its left and right are exchanged."""
    left, top, right, bottom = edges.T
    return np.column_stack((size[0] - right, top, size[0] - left, bottom))


def is_upright(inferred: Size, info: VideoInfo) -> bool:
    """Tell whether an inferred image shows the upright or the coded frame, by its size alone.

    Raises:
        DeliveryFailed: It is no scaling of either.
    """
    upright = shown_upright(inferred, info)
    if upright is None:
        raise DeliveryFailed(
            f"the service looked at images of {inferred[0]}x{inferred[1]} pixels, "
            f"which is no scaling of the video's {info.width}x{info.height}",
            hint="the results belong to another video, or the service crops or pads frames: boxes cannot be placed",
        )
    return upright


def shown_upright(inferred: Size, info: VideoInfo) -> bool | None:
    """Tell whether an image shows the upright or the coded frame; None if it is no scaling of either."""
    coded = (info.width, info.height)
    if inferred in ((0, 0), info.display_size):
        return True
    if inferred == coded:
        return False
    shapes = ((info.display_size, True), (coded, False))
    return next((upright for frame, upright in shapes if same_shape(inferred, frame)), None)


def same_shape(one: Size, other: Size) -> bool:
    """Tell whether one is the other scaled, up to the rounding of a side of the smaller."""
    if 0 in one or 0 in other:
        return False
    (width, height), (larger_width, larger_height) = sorted((one, other), key=lambda size: size[0] * size[1])
    return (
        abs(height - width * larger_height / larger_width) <= _ROUNDING_PX
        or abs(width - height * larger_width / larger_height) <= _ROUNDING_PX
    )
