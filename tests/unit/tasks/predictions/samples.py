"""Results JSON for tests: small, in every shape that the service is known to use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import ModelPredictions, Predictions
from tasks.predictions.parse import parse_bytes

IMAGE = {"width": 640, "height": 360}


def box(x: float = 100, y: float = 50, name: str = "car", **more: Any) -> dict[str, Any]:
    """One detection; ``more`` adds or replaces keys."""
    return {"x": x, "y": y, "width": 40, "height": 20, "confidence": 0.75, "class": name, "class_id": 3} | more


def frame(*predictions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One frame of a model that finds boxes, with the keys that are to be ignored."""
    ignored = {"time": 0.07, "inference_id": "b8e2", "visualization": None, "frame_id": None}
    return {"image": IMAGE, "predictions": list(predictions)} | ignored | more


def results(*frames: Any, model: str = "cars", step: int = 6, **more: Any) -> dict[str, Any]:
    """Results of one model at 24 frames per second; ``more`` adds or replaces members."""
    offsets = [step * position for position in range(len(frames))]
    times = [round(offset / 24, 4) for offset in offsets]
    return {"frame_offset": offsets, "time_offset": times, model: list(frames)} | more


def parsed(content: Any, **options: Any) -> Predictions:
    """Parse a JSON value."""
    return parse_bytes(json.dumps(content).encode(), **options)


def only_model(content: Any, **options: Any) -> ModelPredictions:
    """Parse results of one model."""
    (model,) = parsed(content, **options).models
    return model


def refusal(content: Any, **options: Any) -> str:
    """Parse a JSON value, or text, that must be refused; return the message."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(ResultInvalid) as caught:
        parse_bytes(data, **options)
    assert "result_invalid" == caught.value.code
    return caught.value.message
