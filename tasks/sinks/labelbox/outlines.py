"""Outlines of masks as polylines of one number of corners, so that they can move from keyframe to keyframe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import ModelPredictions
from tasks.sinks.geometry import Float64

Points = NDArray[np.floating]


def outline_of(model: ModelPredictions, row: int) -> Points | None:
    """Return the outline of an object's mask in pixels of its inferred image; None where it has none.

    Of a mask in several pieces, the largest. A run-length mask that does not fit its own size is none.
    """
    start, end = model.objects.polygon_start[row : row + 2]
    if end - start > 2:
        return model.objects.polygon[start:end]
    return _mask_outline(model, row) if row in model.objects.rle else None


def even_corners(outline: Points, count: int) -> Float64:
    """Put ``count`` corners on a closed outline, at equal distances, clockwise as one sees it.

    Args:
        outline: [P, 2] x, y, with y pointing down; the last corner joins the first.

    Returns:
        [count, 2]; the first is the outline's topmost (of these the leftmost) corner.
    """
    corners = outline.astype(np.float64)
    following = np.roll(corners, -1, axis=0)
    # Twice the signed area; positive is clockwise where y points down.
    if float((corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1]).sum()) < 0:
        corners = corners[::-1]
    corners = np.roll(corners, -int(np.lexsort((corners[:, 0], corners[:, 1]))[0]), axis=0)
    closed = np.vstack((corners, corners[:1]))
    along = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))))
    at = np.linspace(0.0, along[-1], count, endpoint=False)
    return np.column_stack([np.interp(at, along, column) for column in closed.T])


def aligned(corners: Float64, before: Float64) -> Float64:
    """Begin the corners where they fit those of ``before`` best, so that none travels around the outline."""
    # Shapes are compared about their middles: motion is no reason to turn.
    own, other = (shape - shape.mean(axis=0) for shape in (corners, before))
    count = np.arange(len(own))
    fit = (own[(count[:, None] + count) % len(own)] * other).sum(axis=(1, 2))
    return np.roll(corners, -int(fit.argmax()), axis=0)


def _mask_outline(model: ModelPredictions, row: int) -> Points | None:
    import supervision

    height, width, counts = model.objects.rle[row]
    try:
        mask = supervision.rle_to_mask(counts, (width, height))
    except (ValueError, IndexError):
        return None
    pieces = [piece.astype(np.float64) for piece in supervision.mask_to_polygons(mask) if len(piece) > 2]
    if not pieces:
        return None
    size = model.image_size[model.objects.sample[row]]
    scale = np.where(size > 0, size, (width, height)) / (width, height)
    largest: Float64 = max(pieces, key=_area)
    return largest * scale


def _area(outline: Float64) -> float:
    following = np.roll(outline, -1, axis=0)
    return abs(float((outline[:, 0] * following[:, 1] - following[:, 0] * outline[:, 1]).sum()))
