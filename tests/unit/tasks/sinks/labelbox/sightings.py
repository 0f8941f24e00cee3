"""Results of models that find things, as a service's JSON has them, in a few words."""

from __future__ import annotations

from typing import Any

from tasks.sinks.labelbox.style import ModelStyle, Style

Frame = list[dict[str, Any]] | None


def thing(x: float, y: float, name: str = "dog", **more: Any) -> dict[str, Any]:
    """A detection of 40 by 80 pixels."""
    return {"x": x, "y": y, "width": 40, "height": 80, "confidence": 0.9, "class": name, "class_id": 0} | more


def results(*frames: Frame, size: tuple[int, int] = (640, 360), model: str = "pets") -> dict[str, Any]:
    image = {"width": size[0], "height": size[1]}
    found = [frame if frame is None else {"image": image, "predictions": frame} for frame in frames]
    return {"frame_offset": [6 * index for index in range(len(frames))], model: found}


def skeleton(*points: tuple[str, float, float, float]) -> list[dict[str, Any]]:
    return [
        {"x": x, "y": y, "confidence": sure, "class": name, "class_id": index}
        for index, (name, x, y, sure) in enumerate(points)
    ]


def pets(**settings: Any) -> Style:
    return Style(keyframe_tolerance=0, models={"pets": ModelStyle(**settings)})


def gaze(yaw: float, pitch: float, x: float = 300, y: float = 200) -> dict[str, Any]:
    landmarks = [{"x": x + index, "y": y} for index in range(6)]
    face = {"x": x, "y": y, "width": 40, "height": 50, "confidence": 0.9, "class": "face", "landmarks": landmarks}
    return {"face": face, "yaw": yaw, "pitch": pitch}


def looking(*gazes: dict[str, Any]) -> dict[str, Any]:
    return results(*[[one] for one in gazes], model="gaze")
