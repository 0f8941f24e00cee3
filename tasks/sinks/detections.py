"""Which of a model's detections go out, where they lie in the frame and how sure they are. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import Int64, ModelPredictions
from tasks.domain.video import VideoInfo
from tasks.sinks.geometry import place_boxes, snap


@dataclass(frozen=True, slots=True)
class Selected:
    """n of a model's N detections.

    Attributes:
        row: int64 [n], which rows of the model's ``Objects`` these are, increasing.
        edges: int64 [n, 4], left, top, right, bottom on the grid, all within the frame.
        confidence: float64 [n] in [0, 1].
        left_out: Why the others are not here -> how many; only reasons that occurred.
    """

    row: Int64
    edges: Int64
    confidence: NDArray[np.float64]
    left_out: dict[str, int]


def select(
    model: ModelPredictions, info: VideoInfo, *, upright: bool, per_pixel: int, min_confidence: float | None
) -> Selected:
    """Take the detections that lie in the frame and are sure enough, with their boxes clipped to it.

    Args:
        upright: Boxes of the upright picture, or of the frame as it is coded.
        per_pixel: Steps of the grid in a pixel; no box is narrower or lower than a pixel.

    Raises:
        DeliveryFailed: A box is no box, or the inferred images do not fit the video.
    """
    grid, visible = snap(place_boxes(model, info, upright=upright), per_pixel=per_pixel)
    # Float32 keeps no more digits than these: rounding brings 0.4 back from 0.40000000596.
    confidence = np.round(model.objects.confidence.astype(np.float64), 6).clip(0.0, 1.0)
    sure = confidence >= (0.0 if min_confidence is None else min_confidence)
    row = np.flatnonzero(visible & sure)
    left_out = {"outside": int((~visible).sum()), "below_confidence": int((visible & ~sure).sum())}
    return Selected(row, grid[row], confidence[row], {reason: count for reason, count in left_out.items() if count})
