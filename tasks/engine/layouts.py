"""The output layouts of detectors that we know, how to tell them apart, and how to read them.

A layout is recognised by output names first, then by shape together with the number of classes
that the model's metadata states. Anything else is refused with all names and shapes: a wrong
guess would give wrong boxes, silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import ModelInvalid
from tasks.engine.geometry import MOST_DETECTIONS, Boxes, Floats, corners

Outputs = Mapping[str, Floats]
Background = Literal["none", "first", "last"]

# Strides of the feature maps that YOLO heads look at: the usual ones, P2 and P6 models.
_STRIDES = ((8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64))
_UINT8 = "tensor(uint8)"


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
    pixels: Literal["raw", "unit", "imagenet"]
    suppress: bool
    read: Callable[[Outputs, float], Candidates]


def recognise(signature: Signature, names: Sequence[str], size: tuple[int, int]) -> Layout:
    """Tell which layout a model has.

    Args:
        signature: With the shapes of real outputs.
        names: Class names, background not counted.
        size: (width, height) of the model's input.

    Raises:
        ModelInvalid: None fits, or more than one does.
    """
    found = {output.name: output.shape for output in signature.outputs}
    raw = signature.inputs[0].type == _UINT8  # otherwise the layout says how pixels are normalised
    match found:
        case {"boxes": (1, a, 4), "scores": (1, b, slots)} if a == b and len(found) == 2 and raw:
            background = _background(signature, slots, names, default="first")
            return Layout("SSD", "stretch", "raw", True, partial(_read_ssd, size=size, background=background))
        case {"dets": (1, a, 4), "labels": (1, b, slots)} if a == b and len(found) == 2 and not raw:
            background = _background(signature, slots, names, default="last")
            read = partial(_read_detr, size=size, background=background)
            return Layout("RF-DETR", "stretch", "imagenet", False, read)
        case _ if len(found) == 1 and not raw:
            return _yolo(signature, len(names), size)
    raise signature.refusal("the model's inputs and outputs are of no known layout")


def _yolo(signature: Signature, classes: int, size: tuple[int, int]) -> Layout:
    """Layouts of one output [1, a, b], told apart by the number of classes and of grid cells."""
    shape = signature.outputs[0].shape
    rows, columns = shape[1:] if len(shape) == 3 and shape[0] == 1 else (None, None)
    grids = {sum((size[0] // stride) * (size[1] // stride) for stride in strides) for strides in _STRIDES}
    anchors = {3 * cells for cells in grids}
    possible: list[Layout] = []
    if rows == 4 + classes and columns in grids:
        possible.append(Layout("YOLOv8", "letterbox", "unit", True, _read_yolov8))
    if columns == 5 + classes and rows in anchors:
        possible.append(Layout("YOLOv5", "letterbox", "unit", True, _read_yolov5))
    if columns == 6 and (classes > 1 or rows not in grids | anchors):
        possible.append(Layout("end-to-end YOLO", "letterbox", "unit", False, _read_end_to_end))
    if len(possible) == 1:
        return possible[0]
    hint = ""
    if columns == 5 + classes and rows in grids:
        hint = "this looks like YOLOX or YOLOv6, whose boxes may or may not be decoded; export it with decoding and NMS"
    raise signature.refusal(f"the model's output is of no known layout for {classes} classes", hint)


def _background(signature: Signature, slots: int | None, names: Sequence[str], default: Background) -> Background:
    """Which of the model's class slots stands for "nothing", by their number and metadata ``background``."""
    if slots == len(names):
        return "none"
    stated = signature.metadata.get("background", default)
    if slots == len(names) + 1 and stated == "first":
        return "first"
    if slots == len(names) + 1 and stated == "last":
        return "last"
    raise signature.refusal(
        f"the model has {slots} class slots and {len(names)} class names",
        hint='name every class; one more slot is background, "first" or "last" by metadata entry "background"',
    )


def _read_ssd(outputs: Outputs, threshold: float, *, size: tuple[int, int], background: Background) -> Candidates:
    """``boxes`` [1, A, 4] corners in 0..1 and ``scores`` [1, A, slots] in 0..1."""
    pixels = np.array(size * 2, np.float64)
    return _best(outputs["boxes"][0] * pixels, _foreground(outputs["scores"][0], background), threshold)


def _read_detr(outputs: Outputs, threshold: float, *, size: tuple[int, int], background: Background) -> Candidates:
    """``dets`` [1, Q, 4] centred in 0..1 and ``labels`` [1, Q, slots] logits; a query may name several classes."""
    logits = _foreground(outputs["labels"][0], background).astype(np.float64)
    scores = (1 / (1 + np.exp(-np.clip(logits, -500, 500)))).astype(np.float32)
    query, kind = np.nonzero(scores >= threshold)
    order = np.argsort(-scores[query, kind], kind="stable")[:MOST_DETECTIONS]
    query, kind = query[order], kind[order]
    boxes = corners(outputs["dets"][0]) * np.array(size * 2, np.float64)
    return Candidates(boxes[query], scores[query, kind], kind)


def _read_yolov8(outputs: Outputs, threshold: float) -> Candidates:
    """One output [1, 4 + classes, A]: centred boxes in input pixels, then class scores."""
    rows = next(iter(outputs.values()))[0].T
    return _best(corners(rows), rows[:, 4:], threshold)


def _read_yolov5(outputs: Outputs, threshold: float) -> Candidates:
    """One output [1, A, 5 + classes]: centred boxes, objectness, class scores given an object."""
    rows = next(iter(outputs.values()))[0]
    return _best(corners(rows), rows[:, 5:] * rows[:, 4:5], threshold)


def _read_end_to_end(outputs: Outputs, threshold: float) -> Candidates:
    """One output [1, K, 6]: corners, score, class; duplicates are gone already."""
    rows = next(iter(outputs.values()))[0]
    rows = rows[rows[:, 4] >= threshold]
    return Candidates(rows[:, :4].astype(np.float64), rows[:, 4], rows[:, 5].astype(np.intp))


def _foreground(slots: Floats, background: Background) -> Floats:
    return {"none": slots, "first": slots[:, 1:], "last": slots[:, :-1]}[background]


def _best(boxes: NDArray[np.floating], scores: Floats, threshold: float) -> Candidates:
    """Each box with its best class, where that reaches the threshold."""
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), classes]
    keep = best >= threshold
    return Candidates(boxes[keep].astype(np.float64), best[keep], classes[keep])
