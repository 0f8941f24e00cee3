"""Tell which layout a detector has, and refuse what cannot be told: a wrong guess gives wrong boxes, silently.

Output names come first, then shapes together with the number of classes that the model's metadata
states. Layouts that share a shape, as all of [1, N, 6] do, are told apart by the metadata and by what
the model answers to a test picture: pixels or shares of the picture, corners or centre and size.
Whatever is recognised, its answer to that picture has to make sense.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tasks.domain.errors import ModelInvalid
from tasks.domain.wording import count_of
from tasks.engine.geometry import MOST_CANDIDATES, Boxes, Floats, overlap
from tasks.engine.layouts import (
    LAYOUT_HINT,
    MOST_AS_SCORE,
    MOST_AS_SHARE,
    Background,
    Candidates,
    Layout,
    Outputs,
    Pixels,
    Signature,
    read_detr,
    read_end_to_end,
    read_rtdetr_best,
    read_rtdetr_scores,
    read_ssd,
    read_yolov5,
    read_yolov8,
)

# (how pixels are normalised) -> the model's answer to the test picture, or None where it fails on it.
Ask = Callable[[Pixels], Outputs | None]

# Strides of the feature maps that YOLO heads look at: the usual ones, P2 and P6 models.
_STRIDES = ((8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64))
_UINT8 = "tensor(uint8)"
_NOTHING = ("no-object", "no_object", "no object", "background", "n/a")  # DETR's last slot, if it has a name
_END_TO_END, _ALL_ANCHORS, _RT_DETR = "end-to-end", "all-anchors", "rt-detr"
_PATCH = 8  # a patch of the test picture is an eighth of its side
_PLACES = (0.3, 0.5, 0.7)  # further from the left and the top than a patch is wide
_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (255, 255, 0), (255, 0, 255))


def sample_picture(size: tuple[int, int]) -> Floats:
    """Patches of plain colours on grey, float32 [height, width, 3] in 0..255: something to see for most detectors."""
    picture = np.full((size[1], size[0], 3), 114, np.float32)
    corners = [(x, y) for y in _PLACES for x in _PLACES]
    for (x, y), colour in zip(corners, _COLOURS, strict=False):
        left, top = int(x * size[0]), int(y * size[1])
        picture[top : top + max(1, size[1] // _PATCH), left : left + max(1, size[0] // _PATCH)] = colour
    return picture


def recognise(signature: Signature, names: Sequence[str], size: tuple[int, int], ask: Ask) -> Layout:
    """Tell which layout a model has.

    Args:
        signature: With the shapes of real outputs.
        names: Class names, background not counted.
        size: (width, height) of the model's input.
        ask: Runs the model on :func:`sample_picture`.

    Raises:
        ModelInvalid: None fits, or more than one does, or its answer makes no sense in the one that does.
    """
    layout = _known(signature, names, size, ask)
    _require_sense(layout, signature, names, size, ask)
    return layout


def _known(signature: Signature, names: Sequence[str], size: tuple[int, int], ask: Ask) -> Layout:
    found = {output.name: output.shape for output in signature.outputs}
    raw = signature.inputs[0].type == _UINT8  # otherwise the layout says how pixels are normalised
    match found:
        case {"boxes": (1, a, 4), "scores": (1, b, slots)} if a == b and len(found) == 2 and raw:
            background = _background(signature, slots, names, default="first")
            return Layout("SSD", "stretch", "raw", True, partial(read_ssd, size=size, background=background))
        case {"dets": (1, a, 4), "labels": (1, b, slots)} if a == b and len(found) == 2 and not raw:
            background = _background(signature, slots, names, default="last")
            read = partial(read_detr, size=size, background=background)
            return Layout("RF-DETR", "stretch", "imagenet", False, read)
        # Without a slot for the background: DETR itself has one, and other pixels.
        case {"pred_boxes": (1, a, 4), "logits": (1, b, slots)} if (
            a == b and slots == len(names) and names[-1].lower() not in _NOTHING and not raw
        ):
            read = partial(read_detr, size=size, background="none", boxes="pred_boxes", logits="logits")
            return Layout("RT-DETR", "stretch", "unit", False, read)
        case _ if len(found) == 1 and not raw:
            return _SingleOutput(signature, len(names), size, ask("unit")).layout()
    raise signature.refusal("the model's inputs and outputs are of no known layout")


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


@dataclass(frozen=True, slots=True)
class _SingleOutput:
    """A model of one output [1, rows, columns], and its answer to the test picture."""

    signature: Signature
    classes: int
    size: tuple[int, int]
    answer: Outputs | None

    def layout(self) -> Layout:
        """Tell the layout by the numbers of classes and of grid cells, and by what the rows hold.

        Raises:
            ModelInvalid: It is of no known layout, or of several.
        """
        shape = self.signature.outputs[0].shape
        rows, columns = shape[1:] if len(shape) == 3 and shape[0] == 1 else (None, None)
        cells = {sum((self.size[0] // one) * (self.size[1] // one) for one in strides) for strides in _STRIDES}
        anchors = {3 * count for count in cells}
        if rows == 4 + self.classes and columns in cells:
            return Layout("YOLOv8", "letterbox", "unit", True, read_yolov8)
        if columns == 5 + self.classes and rows in anchors and not self._ends_with_one_class():
            return Layout("YOLOv5", "letterbox", "unit", True, read_yolov5)
        told = self._told()
        if columns == 6 and (self.classes > 1 or rows not in cells or self._ends_with_one_class()):
            every = rows is not None and (rows in cells | anchors or rows > MOST_CANDIDATES)
            return self._rows_of_six(every=every, told=told)
        if columns == 4 + self.classes and rows not in cells | anchors and told == _RT_DETR:
            return self._rt_detr_scores()
        hint = ""
        if columns == 5 + self.classes and rows in cells:
            hint = (
                "this looks like YOLOX or YOLOv6, whose boxes may or may not be decoded; "
                "export it with decoding and NMS"
            )
        raise self.signature.refusal(
            f"the model's output is of no known layout for {count_of(self.classes, 'class', 'classes')}", hint
        )

    def _told(self) -> str:
        """What the metadata says: the entry ``layout``, or what exporters write of themselves; "" if nothing."""
        entries = self.signature.metadata
        if layout := entries.get("layout"):
            if layout not in (_END_TO_END, _ALL_ANCHORS, _RT_DETR):
                raise self.signature.refusal(
                    f"the model's metadata has the unknown layout {layout[:40]!r}", LAYOUT_HINT
                )
            return layout
        about = " ".join(entries.get(key, "") for key in ("description", "model", "model_type", "architecture", "head"))
        if "rtdetr" in about.lower().replace("-", "").replace("_", ""):
            return _RT_DETR
        return _END_TO_END if entries.get("end2end", "").lower() == "true" else ""

    def _rows_of_six(self, *, every: bool, told: str) -> Layout:
        """A box, a score and a class in each row: which box, and are there still several for one object?"""
        if told and "layout" in self.signature.metadata:
            return self._six(told)
        rows, kinds = self._speaking(), self._boxed()[:, 5]
        if not (kinds == np.rint(kinds)).all():
            if told == _RT_DETR and self.classes == 2:
                return self._rt_detr_scores()
            raise self._doubt("the last column holds no classes")
        if not len(rows):
            if every and not told:
                raise self._doubt("the model sees nothing in a test picture that would tell which")
            return self._six(told or _END_TO_END)
        boxes = rows[:, :4]
        shares = bool(np.abs(boxes).max() <= MOST_AS_SHARE)
        ordered = bool((boxes[:, 2:] - boxes[:, :2] >= (-0.01 if shares else -1.0)).all())
        if shares and (told == _RT_DETR or not ordered) and (boxes[:, 2:] >= 0).all():
            return self._six(_RT_DETR, suppress=every)
        if shares or not ordered:
            raise self._doubt("the boxes are neither corners in pixels nor centre and size as shares of the picture")
        return self._six(_ALL_ANCHORS if every or _crowded(rows) else _END_TO_END)

    def _six(self, layout: str, *, suppress: bool = False) -> Layout:
        if layout == _RT_DETR:
            return Layout("RT-DETR", "stretch", "unit", suppress, partial(read_rtdetr_best, size=self.size))
        if layout == _ALL_ANCHORS:
            return Layout("all anchors", "letterbox", "unit", True, read_end_to_end)
        return Layout("end-to-end YOLO", "letterbox", "unit", False, read_end_to_end)

    def _rt_detr_scores(self) -> Layout:
        return Layout("RT-DETR", "stretch", "unit", False, partial(read_rtdetr_scores, size=self.size))

    def _doubt(self, reason: str) -> ModelInvalid:
        return self.signature.refusal(f"rows of six numbers are of several layouts, and {reason}", LAYOUT_HINT)

    def _ends_with_one_class(self) -> bool:
        """Tell whether a model of one class ends its rows with that class's id and not with a score."""
        rows = self._speaking()
        return self.classes == 1 and bool(len(rows)) and not rows[:, 5].any()

    def _speaking(self) -> Floats:
        """The rows of the answer that hold a box with a score."""
        rows = self._boxed()
        return rows[rows[:, 4] > 0]

    def _boxed(self) -> Floats:
        """The rows of the answer that hold a box; none where there is no (sensible) answer."""
        rows: Floats = np.zeros((0, 6), np.float32)
        if self.answer is not None:
            values = next(iter(self.answer.values()))
            if values.ndim == 3 and values.shape[2] == 6 and np.isfinite(values).all():
                rows = values[0]
        return rows[rows[:, :4].any(axis=1)]


def _crowded(rows: Floats) -> bool:
    """Tell whether one object has several boxes: the best row has a double of its class."""
    best = rows[rows[:, 4].argmax()]
    same = rows[(rows[:, 5] == best[5]) & (rows[:, 4] > best[4] / 2), :4].astype(np.float64)
    box: Boxes = best[:4].astype(np.float64)
    return int((overlap(box, same) > 0.8).sum()) > 1


def _require_sense(layout: Layout, signature: Signature, names: Sequence[str], size: tuple[int, int], ask: Ask) -> None:
    """Refuse a model whose answer to the test picture cannot be of its layout.

    Raises:
        ModelInvalid: As said, with all shapes.
    """
    answer = ask(layout.pixels)
    if answer is None or not all(np.isfinite(values).all() for values in answer.values()):
        return  # a frame like this one will be told
    try:
        found = layout.read(answer, 1e-6)
        negative = layout.read in (read_yolov8, read_yolov5) and layout.read(answer, -np.inf).scores.min() < -0.01
    except (ModelInvalid, ValueError, IndexError) as error:
        raise signature.refusal(
            f"taken for {layout.name}, its outputs do not fit together: {error}", LAYOUT_HINT
        ) from None
    if reason := "gives scores below 0" if negative else _nonsense(found, len(names), max(size)):
        raise signature.refusal(f"taken for {layout.name}, the model {reason} in a test picture", LAYOUT_HINT)


def _nonsense(found: Candidates, classes: int, side: int) -> str:
    """What is wrong with what a model found, in words, or ""."""
    if not len(found.boxes):
        return ""
    if found.scores.max() > MOST_AS_SCORE:
        return f"gives scores up to {found.scores.max():.3g}, which are no probabilities,"
    if not 0 <= found.classes.min() <= found.classes.max() < classes:
        return f"gives classes beyond its {classes} names"
    if np.abs(found.boxes).max() <= MOST_AS_SHARE:
        return "gives boxes as shares of the picture where pixels are expected"
    if np.median(np.abs(found.boxes)) > 4 * side:
        return "gives boxes in pixels where shares of the picture are expected"
    return ""
