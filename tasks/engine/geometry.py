"""Fitting an image into a model's input, bringing boxes back, and suppressing duplicates.

Boxes are float arrays [N, 4] of corners x0, y0, x1, y1 in pixels; the pixel grid runs from 0
at the left edge of the first pixel to the width at the right edge of the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Boxes = NDArray[np.float64]

LETTERBOX_GREY = 114
MOST_CANDIDATES = 1000
MOST_DETECTIONS = 300


@dataclass(frozen=True, slots=True)
class Fit:
    """Where an image lies inside a model's input: scaled to ``inner``, moved by ``pad``.

    Attributes:
        image: (width, height) of the image.
        canvas: (width, height) of the model's input.
        inner: (width, height) of the scaled image.
        pad: (left, top) of the scaled image on the canvas.
    """

    image: tuple[int, int]
    canvas: tuple[int, int]
    inner: tuple[int, int]
    pad: tuple[int, int]

    def to_canvas(self, boxes: Boxes) -> Boxes:
        """Boxes of the image as boxes of the canvas."""
        return boxes * self._scale() + np.array(self.pad * 2, np.float64)

    def to_image(self, boxes: Boxes) -> Boxes:
        """Boxes of the canvas as boxes of the image, clipped to it."""
        placed = (boxes - np.array(self.pad * 2, np.float64)) / self._scale()
        return np.clip(placed, 0.0, np.array(self.image * 2, np.float64))

    def _scale(self) -> NDArray[np.float64]:
        return np.array(self.inner * 2, np.float64) / np.array(self.image * 2, np.float64)


def stretch(image: tuple[int, int], canvas: tuple[int, int]) -> Fit:
    """Fill the canvas, whatever that does to the proportions."""
    return Fit(image, canvas, canvas, (0, 0))


def letterbox(image: tuple[int, int], canvas: tuple[int, int]) -> Fit:
    """Keep the proportions and centre the image; where it cannot be even, the smaller bar is left or on top.

    The rounding is that of Ultralytics' LetterBox, which its models are trained with.
    """
    ratio = min(canvas[0] / image[0], canvas[1] / image[1])
    width, height = (max(1, round(side * ratio)) for side in image)
    pad = round((canvas[0] - width) / 2 - 0.1), round((canvas[1] - height) / 2 - 0.1)
    return Fit(image, canvas, (width, height), pad)


def place(rgb: Image, fit: Fit) -> Floats:
    """Draw the image on its canvas: float32 [height, width, 3] in 0..255, grey around it."""
    inner = resized(rgb, fit.inner)
    if fit.inner == fit.canvas:
        return inner
    canvas = np.full((fit.canvas[1], fit.canvas[0], 3), LETTERBOX_GREY, np.float32)
    left, top = fit.pad
    canvas[top : top + fit.inner[1], left : left + fit.inner[0]] = inner
    return canvas


def resized(rgb: Image, size: tuple[int, int]) -> Floats:
    """Resize to (width, height): bilinear between pixel centres, not antialiased, edges held.

    The same sampling as OpenCV's INTER_LINEAR, which detectors are commonly trained with.
    """
    if (rgb.shape[1], rgb.shape[0]) == size:
        return rgb.astype(np.float32)
    rows, columns = _taps(rgb.shape[0], size[1]), _taps(rgb.shape[1], size[0])
    across = columns.weight[None, :, None]
    upper, lower = (
        _blend(line[:, columns.low], line[:, columns.high], across) for line in (rgb[rows.low], rgb[rows.high])
    )
    return _blend(upper, lower, rows.weight[:, None, None])


@dataclass(frozen=True, slots=True)
class _Taps:
    low: NDArray[np.intp]
    high: NDArray[np.intp]
    weight: Floats  # of the higher neighbour


def _taps(source: int, target: int) -> _Taps:
    centre = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    low = np.floor(centre).astype(np.intp)
    return _Taps(low, np.minimum(low + 1, source - 1), (centre - low).astype(np.float32))


def _blend(low: NDArray[np.generic], high: NDArray[np.generic], weight: Floats) -> Floats:
    first = low.astype(np.float32)
    return first + (high.astype(np.float32) - first) * weight


def corners(centred: NDArray[np.floating]) -> Boxes:
    """Boxes given as centre x, centre y, width, height, as corners."""
    centre, half = centred[:, :2].astype(np.float64), centred[:, 2:4].astype(np.float64) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def overlap(box: Boxes, boxes: Boxes) -> NDArray[np.float64]:
    """Intersection over union of one box [4] with many [N, 4]; 0 where both are empty."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared
    ratio: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def suppressed(boxes: Boxes, scores: Floats, classes: NDArray[np.intp], threshold: float) -> NDArray[np.intp]:
    """Rows that survive non-maximum suppression within each class, best score first.

    Greedy: a box goes when it overlaps a better one of its class by more than ``threshold``.
    Only the best `MOST_CANDIDATES` are looked at and at most `MOST_DETECTIONS` are kept.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
    kept: list[int] = []
    while len(order) and len(kept) < MOST_DETECTIONS:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        clash = (classes[rest] == classes[best]) & (overlap(boxes[best], boxes[rest]) > threshold)
        order = rest[~clash]
    return np.array(kept, np.intp)
