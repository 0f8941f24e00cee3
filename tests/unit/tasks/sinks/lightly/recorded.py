"""Deliveries of results in every shape that the service and its open source server are known to give.

The shapes are those of the video inference page (boxes, gaze) and of the server's response
entities; everything goes through the parser that real results go through.
"""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.domain.video import VideoInfo
from tasks.predictions.parse import parse_bytes
from tasks.sinks.base import Delivery, Receipt
from tasks.sinks.lightly.sink import LightlySink
from tasks.storage.base import Storage
from tests.contracts.deliveries import make_delivery, video_info
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.tree_reader import ROOT, check_tree

Shape = dict[str, Any]
Tree = dict[str, dict[str, Any]]
INFO = video_info()


def image_of(info: VideoInfo) -> Shape:
    """What the service says of the inferred image: the upright one."""
    width, height = info.display_size
    return {"width": width, "height": height}


def found(x: float, y: float, width: float, height: float, name: str = "player", **more: Any) -> Shape:
    """One object, by its centre, with the keys that the server writes."""
    box = {"x": x, "y": y, "width": width, "height": height, "confidence": 0.75, "class": name, "class_id": 0}
    return box | {"class_confidence": None, "tracker_id": None, "detection_id": "0b1d", "parent_id": "image"} | more


def objects(*predictions: Shape, info: VideoInfo | None = None) -> Shape:
    """A frame of a model that finds objects."""
    return {"time": 0.03, "image": image_of(info or video_info()), "predictions": list(predictions)}


def outline(*corners: tuple[float, float]) -> list[Shape]:
    return [{"x": x, "y": y} for x, y in corners]


def keypoint(x: float, y: float, number: int, name: str, confidence: float = 0.5) -> Shape:
    return {"x": x, "y": y, "confidence": confidence, "class_id": number, "class": name}


def labels(top: str, info: VideoInfo | None = None, **confidence: float) -> Shape:
    """A frame of a single-label classifier; classes under its threshold are not in it."""
    rows = [{"class": name, "class_id": number, "confidence": c} for number, (name, c) in enumerate(confidence.items())]
    return {
        "time": 0.03,
        "image": image_of(info or video_info()),
        "predictions": rows,
        "top": top,
        "confidence": confidence.get(top, 0.0),
    }


def scores(info: VideoInfo | None = None, **confidence: float) -> Shape:
    """A frame of a multi-label classifier."""
    rows = {name: {"confidence": c, "class_id": number} for number, (name, c) in enumerate(confidence.items())}
    chosen = [name for name, c in confidence.items() if c >= 0.5]
    return {"image": image_of(info or video_info()), "predictions": rows, "predicted_classes": chosen}


def label_map(values: NDArray[np.uint8], class_map: dict[int, str], certain: NDArray[np.uint8] | None = None) -> Shape:
    """A frame of a model that says of each pixel what it is."""
    predictions: Shape = {
        "segmentation_mask": png(values),
        "class_map": {str(value): name for value, name in class_map.items()},
    }
    if certain is not None:
        predictions["confidence_mask"] = png(certain)
    return {"image": {"width": values.shape[1], "height": values.shape[0]}, "predictions": predictions}


def png(values: NDArray[np.uint8]) -> str:
    """A picture with one channel, as text."""
    target = io.BytesIO()
    Image.fromarray(values).save(target, "PNG")
    return base64.b64encode(target.getvalue()).decode()


def gaze(x: float, y: float, width: float, height: float) -> Shape:
    face = found(x, y, width, height, "face") | {"landmarks": outline((x, y))}
    return {"face": face, "yaw": 0.1, "pitch": -0.2}


def results(
    *frames: Shape | list[float] | None, model: str = "football", every: int = 6, more: Shape | None = None
) -> Shape:
    """A results JSON whose every ``every``-th frame was inferred; ``more`` holds other models."""
    offsets = [every * sample for sample in range(len(frames))]
    return {
        "frame_offset": offsets,
        "time_offset": [offset / 30 for offset in offsets],
        model: list(frames),
        **(more or {}),
    }


def delivery_of(
    folder: Path,
    content: Shape,
    *,
    name: str = "cup/final.mp4",
    info: VideoInfo | None = None,
    tasks: dict[str, TaskType] | None = None,
    classes: dict[str, tuple[str, ...]] | None = None,
) -> Delivery:
    """A delivery of results as they came.

    Args:
        tasks: Model -> its kind, where the control plane told.
        classes: Model -> its full list of classes, where the control plane told.
    """
    predictions = parse_bytes(json.dumps(content).encode(), tasks=tasks, video_fps=30)
    empty = make_delivery(
        folder,
        [[] for _ in predictions.frame_index],
        name=name,
        info=info,
        models=predictions.models,
        model_classes=classes or {},
    )
    return replace(empty, predictions=predictions)


def deliver(
    folder: Path, content: Shape, *, store: Storage | None = None, sink: dict[str, Any] | None = None, **how: Any
) -> tuple[Tree, Receipt]:
    """Deliver results to a task ``players``; return the checked tree and the receipt."""
    store = store or MemoryStorage()
    delivery = delivery_of(folder, content, **how)
    receipt = LightlySink(store, task_name="players", **(sink or {})).deliver(delivery)
    return check_tree(store, {delivery.video.name: delivery.info}), receipt


def schema_in(store: Storage) -> Any:
    return json.loads(store.read(f"{ROOT}players/schema.json"))


def refused(folder: Path, content: Shape, match: str, **how: Any) -> DeliveryFailed:
    """Deliver results that must be refused, leaving nothing that the worker would read."""
    store = MemoryStorage()
    with pytest.raises(DeliveryFailed, match=match) as caught:
        LightlySink(store, task_name="players").deliver(delivery_of(folder, content, **how))
    assert {f"{ROOT}players/schema.json"} >= set(contents(store))
    assert caught.value.hint
    return caught.value
