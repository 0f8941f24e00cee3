"""Object detectors in ONNX files: load one, feed it a frame, get boxes in that frame's pixels."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import TaskType
from tasks.engine.geometry import Floats, Image, letterbox, place, stretch, suppressed
from tasks.engine.layouts import MOST_AS_SCORE, Candidates, Layout, Outputs, Pixels, Signature
from tasks.engine.onnx_session import FrameNotInferred, OnnxSession
from tasks.engine.recognise import recognise, sample_picture

DEFAULT_CONFIDENCE = 0.35
NMS_IOU = 0.5

_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_BACKGROUND_NAMES = frozenset({"???", "background", "__background__"})


class Detected(msgspec.Struct, frozen=True, gc=False):
    """One object, as the hosted results JSON spells it.

    Attributes:
        x, y: Centre in pixels of the given image, rounded to 2 decimals.
        width, height: Size in the same pixels.
        confidence: In 0..1, rounded to 6 decimals.
        class_name: ``class`` in JSON.
        class_id: Index into the detector's ``classes``.
    """

    x: float
    y: float
    width: float
    height: float
    confidence: float
    class_name: str = msgspec.field(name="class")
    class_id: int


class Detector:
    """A loaded model; `load_detector` makes it.

    Attributes:
        task: What it predicts.
        classes: Class names; position is the class id, background is not among them.
        layout: How it is fed and read.
    """

    task = TaskType.OBJECT_DETECTION

    def __init__(self, session: OnnxSession, layout: Layout, classes: tuple[str, ...]) -> None:
        self._session = session
        self.layout = layout
        self.classes = classes

    def detect(self, rgb: Image, confidence: float | None = None) -> list[Detected]:
        """Find objects in one image, best first.

        Args:
            rgb: uint8 [height, width, 3].
            confidence: Lowest confidence to return; None for `DEFAULT_CONFIDENCE`.

        Raises:
            FrameNotInferred: The model failed, or gave numbers that are no boxes.
        """
        fitted = stretch if self.layout.fit == "stretch" else letterbox
        fit = fitted((rgb.shape[1], rgb.shape[0]), self._session.size)
        outputs = self._session.run(_normalised(place(rgb, fit), self.layout.pixels))
        if any(np.isnan(values).any() for values in outputs.values()):
            raise FrameNotInferred("the model gave results that are not numbers")
        try:
            found = self.layout.read(outputs, DEFAULT_CONFIDENCE if confidence is None else confidence)
        except (ValueError, IndexError) as error:
            raise FrameNotInferred(f"the model's outputs do not fit together: {error}") from None
        self._require_sense(found)
        boxes, scores, classes = fit.to_image(found.boxes), found.scores, found.classes
        if self.layout.suppress:
            kept = suppressed(boxes, scores, classes, NMS_IOU)
        else:
            kept = np.argsort(-scores, kind="stable")
        visible = (boxes[kept, 2:] > boxes[kept, :2]).all(axis=1)  # nothing is left of a box outside the image
        return [self._detected(boxes[i], float(scores[i]), int(classes[i])) for i in kept[visible]]

    def _require_sense(self, found: Candidates) -> None:
        if not np.isfinite(found.boxes).all():
            raise FrameNotInferred("the model gave boxes without end")
        if found.scores.size and found.scores.max() > MOST_AS_SCORE:
            raise FrameNotInferred("the model gave scores above 1, which are no probabilities")
        if found.classes.size and not 0 <= found.classes.min() <= found.classes.max() < len(self.classes):
            raise FrameNotInferred(f"the model gave a class beyond its {len(self.classes)} names")

    def _detected(self, box: NDArray[np.float64], score: float, kind: int) -> Detected:
        x0, y0, x1, y1 = box.tolist()
        return Detected(
            x=round((x0 + x1) / 2, 2),
            y=round((y0 + y1) / 2, 2),
            width=round(x1 - x0, 2),
            height=round(y1 - y0, 2),
            confidence=round(min(score, 1.0), 6),
            class_name=self.classes[kind],
            class_id=kind,
        )


def load_detector(path: Path, *, classes: Sequence[str] | None = None) -> Detector:
    """Load an ONNX object detector and make sure that it runs.

    Args:
        path: The model file.
        classes: Class names in the order of the ids, background left out; overrides the
            ``names`` in the file's metadata.

    Raises:
        ModelInvalid: Not a model, not an object detector, or of no layout that we know.
    """
    session = OnnxSession(path)
    signature = session.signature
    task = signature.metadata.get("task", "detect")
    if task != "detect":
        raise signature.refusal(f"the model's task is {task!r}; only object detectors can be run")
    names = tuple(classes) if classes is not None else _stated_names(signature)

    @cache
    def ask(pixels: Pixels) -> Outputs | None:
        try:
            return session.run(_normalised(sample_picture(session.size), pixels))
        except FrameNotInferred:
            return None

    return Detector(session, recognise(signature, names, session.size, ask), names)


def _stated_names(signature: Signature) -> tuple[str, ...]:
    """Class names from metadata ``names``: a JSON list, or a mapping from id, in JSON or Python spelling."""
    text = signature.metadata.get("names", "")
    hint = 'add the metadata entry "names" to the file: a JSON list of class names in the order of the ids'
    if not text:
        raise signature.refusal("the model does not name its classes", hint)
    try:
        names = list(_by_id(_literal(text)))
    except (ValueError, TypeError, KeyError, SyntaxError, RecursionError):
        raise signature.refusal(f"the model's class names cannot be read: {text[:80]!r}", hint) from None
    if names and names[0] in _BACKGROUND_NAMES:
        del names[0]
    if not names:
        raise signature.refusal("the model does not name its classes", hint)
    return tuple(names)


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text)


def _by_id(names: Any) -> Sequence[str]:
    if isinstance(names, dict):
        numbered = {int(key): str(name) for key, name in names.items()}
        return [numbered[index] for index in range(len(numbered))]
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    raise TypeError("neither a list nor a mapping")


def _normalised(pixels: Floats, kind: Pixels) -> Floats:
    """Pixels 0..255 as the model expects them."""
    if kind == "raw":
        return pixels
    unit = pixels / np.float32(255)
    return (unit - _IMAGENET_MEAN) / _IMAGENET_DEVIATION if kind == "imagenet" else unit
