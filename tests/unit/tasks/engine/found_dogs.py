"""Models of every known layout that find the same dog, for tests of detectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.engine.detectors import Detected
from tests.onnx_models import constant_model

Floats = NDArray[np.float32]

# The canvas is 64 x 64; the image 128 x 64 is letterboxed to 64 x 32 with 16 grey rows above and below.
IMAGE = np.zeros((64, 128, 3), np.uint8)
CELLS = 84  # 8*8 + 4*4 + 2*2 grid cells of a 64 x 64 input
# A dog at centre (40, 30), 20 x 10 pixels of the image, is there on the letterboxed canvas:
DOG = (20.0, 31.0, 10.0, 5.0)
# and there when the image is stretched instead, as shares of the canvas:
DOG_SHARES = (40 / 128, 30 / 64, 20 / 128, 10 / 64)
FOUND = Detected(x=40.0, y=30.0, width=20.0, height=10.0, confidence=0.75, class_name="dog", class_id=1)


def zeros(*shape: int) -> Floats:
    return np.zeros(shape, np.float32)


def yolov8(classes: int = 2, cells: int = CELLS) -> Floats:
    output = zeros(1, 4 + classes, cells)
    output[0, :4, 7] = DOG
    output[0, 4:6, 7] = (0.25, 0.75)
    output[0, :4, 8] = (20.5, 31.0, 10.0, 5.0)  # the same dog again, a little to the right
    output[0, 5, 8] = 0.5
    return output


def yolov5(classes: int = 2) -> Floats:
    output = zeros(1, 3 * CELLS, 5 + classes)
    output[0, 7, :7] = (*DOG, 0.9375, 0.25, 0.8)
    output[0, 9, :7] = (40, 40, 5, 5, 0.25, 1.0, 1.0)  # sure of the class, not that there is anything
    return output


def end_to_end(rows: int = 300) -> Floats:
    output = zeros(1, rows, 6)
    x, y, width, height = DOG
    output[0, 0] = (x - width / 2, y - height / 2, x + width / 2, y + height / 2, 0.75, 1)
    return output


def ssd(slots: int = 3) -> dict[str, Floats]:
    boxes, scores = zeros(1, 10, 4), zeros(1, 10, slots)
    x, y, width, height = DOG_SHARES
    boxes[0, 4] = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    boxes[0, 5] = boxes[0, 4]
    scores[0, 4, :3] = (0.9, 0.1, 0.75)
    scores[0, 5, :3] = (0.9, 0.1, 0.5)
    return {"boxes": boxes, "scores": scores}


def detr(*logits: float) -> dict[str, Floats]:
    dets, labels = zeros(1, 20, 4), np.full((1, 20, len(logits)), -20, np.float32)
    dets[0, 3] = DOG_SHARES
    labels[0, 3] = logits
    return {"dets": dets, "labels": labels}


THREE_QUARTERS = float(np.log(3))  # sigmoid(log 3) = 0.75

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "YOLOv8": lambda path: constant_model(path, {"output0": yolov8()}),
    "YOLOv5": lambda path: constant_model(path, {"output": yolov5()}),
    "end-to-end YOLO": lambda path: constant_model(path, {"output0": end_to_end()}),
    "SSD": lambda path: constant_model(path, ssd(), shape=(1, 64, 64, 3), dtype="uint8"),
    "RF-DETR": lambda path: constant_model(path, detr(-20, THREE_QUARTERS)),
}
