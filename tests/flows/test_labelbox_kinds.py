"""Predictions of every kind, from a service that gives them to a model run in Labelbox, by the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulators.labelbox.server import LabelboxServer, labelbox_server
from tests.flows.conftest import Yard
from tests.scripted_service import KEY, PROJECT, ScriptedService

pytestmark = pytest.mark.engine

# Eight models look at the clip's frames 0, 5, 10, 15 and 20 (25 frames at 25 per second, 5 asked for).
MODELS = {
    "players-x1": "object-detection",
    "shapes": "instance-segmentation",
    "pose": "keypoint-detection",
    "weather": "classification",
    "venue": "classification",
    "tags": "classification",
    "board": "classification",
    "digits": "object-detection",
}
PIPELINE = """
name: yard
sources: [{{uri: "{videos}"}}]
inference:
  backend: local
  model: players-x1/1
  additional_models: [shapes/1, pose/1, weather/1, venue/1, tags/1, board/1, digits/1]
  fps: 5
  poll_interval: 1s
routes:
  - to: labelbox
    dataset: yard
    ontology: yard
    model: everything
    model_run: night
    keyframe_tolerance: 0
    classes: {{ball: {{point: Ball}}, wall: {{box: Wall, outline: Wall's edge}}}}
    models:
      players-x1: {{details: [{{of: confidence, name: sureness, bands: [0.5]}}]}}
      shapes: {{vertices: 4}}
      pose: {{keypoints: {{nose: Nose}}}}
      weather: {{separator: /}}
      venue: {{per: video}}
      board: {{kind: text}}
      digits: {{kind: text, per: video}}
"""
WIDTH, HEIGHT = 320, 240


def at(x: float, y: float, name: str, sure: float = 0.9, **more: Any) -> dict[str, Any]:
    """A detection of 20 by 40 pixels."""
    return {
        "x": x, "y": y, "width": 20, "height": 40, "confidence": sure, "class": name, "class_id": 0, **more
    }  # fmt: skip


def one(name: str) -> dict[str, Any]:
    return {"predictions": [{"class": name, "class_id": 0, "confidence": 0.8}], "top": name}


def many(*names: str) -> dict[str, Any]:
    return {"predictions": {n: {"confidence": 0.7, "class_id": 0} for n in names}, "predicted_classes": list(names)}


def seen(*frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"image": {"width": WIDTH, "height": HEIGHT}, "predictions": frame} for frame in frames]


NOSE = [{"x": 100, "y": 60, "confidence": 0.9, "class": "nose", "class_id": 0}]
CORNERS = [{"x": x, "y": y} for x, y in ((90, 90), (110, 90), (110, 110), (90, 110))]
SAID = {
    "frame_offset": [0, 5, 10, 15, 20],
    "time_offset": [0.0, 0.2, 0.4, 0.6, 0.8],
    "players-x1": seen(
        [at(50, 60, "player", tracker_id=1), at(200, 60, "player", tracker_id=2), at(150, 150, "ball", tracker_id=3)],
        [at(60, 60, "player", tracker_id=1), at(190, 60, "player", tracker_id=2)],
        [at(70, 60, "player", 0.4, tracker_id=1)],
        [],
        [],
    ),
    "shapes": seen([at(100, 100, "wall", points=CORNERS, tracker_id=1) | {"height": 20}], [], [], [], []),
    "pose": seen([at(100, 80, "keeper", keypoints=NOSE, tracker_id=1)], [], [], [], []),
    "weather": [one("wet/rain"), one("wet/rain"), one("dry"), one("dry"), one("dry")],
    "venue": [one("indoors")] * 5,
    "tags": [many("crowd", "flare"), many("crowd"), many("crowd"), many(), many()],
    "board": [one("HOME 1"), one("HOME 1"), one("HOME 2"), one("HOME 2"), one("HOME 2")],
    "digits": seen([at(20, 20, "4", tracker_id=1), at(45, 20, "2", tracker_id=2)], [], [], [], []),
}


def box_at(frame: int, left: float, top: float, sureness: str, sure: float) -> dict[str, Any]:
    bbox = {"top": float(top), "left": float(left), "height": 40.0, "width": 20.0}
    below = [{"name": "sureness", "answer": {"name": sureness, "confidence": sure}}]
    return {"frame": frame, "bbox": bbox, "classifications": below}


def spans(*ends: tuple[int, int]) -> list[dict[str, int]]:
    return [{"start": start, "end": end} for start, end in ends]


def through(*keyframes: dict[str, Any]) -> dict[str, Any]:
    return {"segments": [{"keyframes": list(keyframes)}]}


# Counted by hand: frames from 1, boxes by their corner, answers up to the frame before the next sample.
CORNERS_IN_ORDER = [(90, 90), (110, 90), (110, 110), (90, 110), (90, 90)]
EXPECTED: list[dict[str, Any]] = [
    {"name": "player"}
    | through(
        box_at(1, 40, 40, "0.5 and over", 0.9),
        box_at(6, 50, 40, "0.5 and over", 0.9),
        box_at(11, 60, 40, "under 0.5", 0.4),
    ),
    {"name": "player"} | through(box_at(1, 190, 40, "0.5 and over", 0.9), box_at(6, 180, 40, "0.5 and over", 0.9)),
    {"name": "Ball"} | through({"frame": 1, "point": {"x": 150.0, "y": 150.0}}),
    {"name": "Wall"} | through({"frame": 1, "bbox": {"top": 90.0, "left": 90.0, "height": 20.0, "width": 20.0}}),
    {"name": "Wall's edge"}
    | through({"frame": 1, "line": [{"x": float(x), "y": float(y)} for x, y in CORNERS_IN_ORDER]}),
    {"name": "keeper"} | through({"frame": 1, "bbox": {"top": 60.0, "left": 90.0, "height": 40.0, "width": 20.0}}),
    {"name": "Nose"} | through({"frame": 1, "point": {"x": 100.0, "y": 60.0}}),
    {
        "name": "weather",
        "answer": {
            "name": "wet",
            "confidence": 0.8,
            "frames": spans((1, 10)),
            "classifications": [{"name": "weather/wet", "answer": {"name": "rain", "confidence": 0.8}}],
        },
    },
    {"name": "weather", "answer": {"name": "dry", "confidence": 0.8, "frames": spans((11, 25))}},
    {"name": "venue", "answer": {"name": "indoors", "confidence": 0.8}},
    {
        "name": "tags",
        "answer": [
            {"name": "crowd", "confidence": 0.7, "frames": spans((1, 15))},
            {"name": "flare", "confidence": 0.7, "frames": spans((1, 5))},
        ],
    },
    {
        "name": "board",
        "answer": [
            {"value": "HOME 1", "frames": spans((1, 10))},
            {"value": "HOME 2", "frames": spans((11, 25))},
        ],
    },
    {"name": "digits", "answer": "42", "confidence": 0.9},
]


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    """A service that knows the models and gives what they said of the clip."""
    with ScriptedService() as running:
        running.results = json.dumps(SAID).encode()
        running.projects = {
            name: {"project": {**PROJECT, "type": kind, "classes": {}}, "versions": [1]}
            for name, kind in MODELS.items()
        }
        yield running


@pytest.fixture
def box() -> Iterator[LabelboxServer]:
    """An empty workspace."""
    with labelbox_server() as running:
        yield running


def test_every_kind_goes_the_whole_way(
    tmp_path: Path, prefect_server: str, service: ScriptedService, box: LabelboxServer
) -> None:
    """One run makes the ontology and the run; each annotation is as counted by hand, and a replay doubles none."""
    (tmp_path / "videos").mkdir()
    known = {"PREFECT_API_URL": prefect_server, "ROBOFLOW_API_URL": service.base_url, "ROBOFLOW_API_KEY": KEY}
    yard = Yard(tmp_path, known | box.environment)
    yard.clip("a.mp4", size=(WIDTH, HEIGHT))
    path = yard.folder / "yard.yaml"
    path.write_text(PIPELINE.format(videos=yard.videos))

    ended = yard.reelroute("run", str(path), "--json")

    assert 0 == ended.code, ended.stderr
    found = box.predictions("night")
    assert 1 == len({line["dataRow"]["globalKey"] for line in found})
    assert _sorted(EXPECTED) == _sorted([_said(line) for line in found])

    replayed = yard.reelroute("replay", str(path), "--route", "labelbox", "--json")

    assert 0 == replayed.code, replayed.stderr
    assert found == box.predictions("night")


def _said(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in ("uuid", "dataRow")}


def _sorted(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(line, sort_keys=True) for line in lines)
