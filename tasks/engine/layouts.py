"""The output layouts of detectors that we know, and how to read them; `recognise` tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import ModelInvalid
from tasks.engine.geometry import MOST_DETECTIONS, Boxes, Floats, corners

Outputs = Mapping[str, Floats]
Background = Literal["none", "first", "last"]
Pixels = Literal["raw", "unit", "imagenet"]
# Boxes in 0..1 may reach a little beyond the picture; boxes in pixels all within two of them are none.
MOST_AS_SHARE = 1.5
MOST_AS_SCORE = 1.01  # rounding of a half-precision 1
LAYOUT_HINT = 'export it anew, or add the metadata entry "layout": "end-to-end", "all-anchors" or "rt-detr"'


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output: name, shape (None where it is not fixed) and ONNX type such as ``tensor(float)``."""

    name: str
    shape: tuple[int | None, ...]
    type: str

    def __str__(self) -> str:
        return f"{self.name} {self.type} [{', '.join('?' if n is None else str(n) for n in self.shape)}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model file says about itself, with output shapes as one run gave them."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Mapping[str, str]

    def refusal(self, reason: str, hint: str = "") -> ModelInvalid:
        """The error that lists every input and output."""
        tensors = f"inputs: {'; '.join(map(str, self.inputs))}. Outputs: {'; '.join(map(str, self.outputs))}"
        return ModelInvalid(f"{reason}. {tensors}", hint=hint)


@dataclass(frozen=True, slots=True)
class Candidates:
    """N boxes before suppression.

    Attributes:
        boxes: Corners [N, 4] in pixels of the model's input.
        scores: [N] in 0..1.
        classes: [N] indices into the model's class names, background not counted.
    """

    boxes: Boxes
    scores: Floats
    classes: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Layout:
    """How to feed a detector and how to read what it answers.

    Attributes:
        name: For people.
        fit: How the image is fitted into the input.
        pixels: ``raw`` 0..255, ``unit`` 0..1, or ``imagenet`` mean and deviation.
        suppress: Whether duplicates have to be suppressed afterwards.
        read: (outputs by name, threshold) -> candidates at or above the threshold.
    """

    name: str
    fit: Literal["stretch", "letterbox"]
    pixels: Pixels
    suppress: bool
    read: Callable[[Outputs, float], Candidates]


def read_ssd(outputs: Outputs, threshold: float, *, size: tuple[int, int], background: Background) -> Candidates:
    """``boxes`` [1, A, 4] corners in 0..1 and ``scores`` [1, A, slots] in 0..1."""
    pixels = np.array(size * 2, np.float64)
    return _best(outputs["boxes"][0] * pixels, _foreground(outputs["scores"][0], background), threshold)


def read_detr(
    outputs: Outputs,
    threshold: float,
    *,
    size: tuple[int, int],
    background: Background,
    boxes: str = "dets",
    logits: str = "labels",
) -> Candidates:
    """``boxes`` [1, Q, 4] centred in 0..1 and ``logits`` [1, Q, slots]; a query may name several classes."""
    values = _foreground(outputs[logits][0], background).astype(np.float64)
    scores = (1 / (1 + np.exp(-np.clip(values, -500, 500)))).astype(np.float32)
    return _several(outputs[boxes][0], scores, threshold, size)


def read_rtdetr_scores(outputs: Outputs, threshold: float, *, size: tuple[int, int]) -> Candidates:
    """One output [1, Q, 4 + classes]: centred boxes in 0..1, then class scores in 0..1."""
    rows = next(iter(outputs.values()))[0]
    return _several(rows[:, :4], rows[:, 4:], threshold, size)


def read_rtdetr_best(outputs: Outputs, threshold: float, *, size: tuple[int, int]) -> Candidates:
    """One output [1, Q, 6]: centred boxes in 0..1, score, class.

    Raises:
        ModelInvalid: The last two are no score and class.
    """
    rows = _scored(outputs, threshold)
    return Candidates(corners(rows) * np.array(size * 2, np.float64), rows[:, 4], rows[:, 5].astype(np.intp))


def read_yolov8(outputs: Outputs, threshold: float) -> Candidates:
    """One output [1, 4 + classes, A]: centred boxes in input pixels, then class scores."""
    rows = next(iter(outputs.values()))[0].T
    return _best(corners(rows), rows[:, 4:], threshold)


def read_yolov5(outputs: Outputs, threshold: float) -> Candidates:
    """One output [1, A, 5 + classes]: centred boxes, objectness, class scores given an object."""
    rows = next(iter(outputs.values()))[0]
    return _best(corners(rows), rows[:, 5:] * rows[:, 4:5], threshold)


def read_end_to_end(outputs: Outputs, threshold: float) -> Candidates:
    """One output [1, K, 6]: corners in input pixels, score, class.

    Raises:
        ModelInvalid: The boxes are shares of the picture: another layout, which would look like finding nothing.
            Or the last two numbers are no score and class.
    """
    rows = _scored(outputs, threshold)
    if len(rows) and np.abs(rows[:, :4]).max() <= MOST_AS_SHARE:
        raise ModelInvalid(
            "the model's boxes are shares of the picture and not pixels, as those of end-to-end YOLO are",
            hint=LAYOUT_HINT,
        )
    return Candidates(rows[:, :4].astype(np.float64), rows[:, 4], rows[:, 5].astype(np.intp))


def _scored(outputs: Outputs, threshold: float) -> Floats:
    """The rows of six at or above the threshold."""
    rows: Floats = next(iter(outputs.values()))[0]
    rows = rows[rows[:, 4] >= threshold]
    if len(rows) and np.isfinite(rows).all() and (rows[:, 5] != np.rint(rows[:, 5])).any():
        raise ModelInvalid("the model's rows do not end with a score and a class", hint=LAYOUT_HINT)
    return rows


def _several(boxes: Floats, scores: Floats, threshold: float, size: tuple[int, int]) -> Candidates:
    query, kind = np.nonzero(scores >= threshold)
    order = np.argsort(-scores[query, kind], kind="stable")[:MOST_DETECTIONS]
    query, kind = query[order], kind[order]
    return Candidates((corners(boxes) * np.array(size * 2, np.float64))[query], scores[query, kind], kind)


def _foreground(slots: Floats, background: Background) -> Floats:
    return {"none": slots, "first": slots[:, 1:], "last": slots[:, :-1]}[background]


def _best(boxes: NDArray[np.floating], scores: Floats, threshold: float) -> Candidates:
    """Each box with its best class, where that reaches the threshold."""
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), classes]
    keep = best >= threshold
    return Candidates(boxes[keep].astype(np.float64), best[keep], classes[keep])
