"""What is said of boxes at their keyframes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.sinks.labelbox.ndjson import annotate
from tasks.sinks.labelbox.style import Detail, Kind, ModelStyle, Style
from tests.unit.tasks.sinks.labelbox.sightings import Frame, gaze, looking, pets, results, thing
from tests.unit.tasks.sinks.labelbox.strict_reader import annotated, inferred


def below(line: dict[str, Any]) -> list[tuple[int, list[Any]]]:
    """Frame of each keyframe, and what is said there."""
    return [(k["frame"], k.get("classifications", [])) for s in line["segments"] for k in s["keyframes"]]


def test_boxes_can_say_how_sure_the_model_is(tmp_path: Path) -> None:
    """In bands, at each keyframe, with keyframes on both sides of a change."""
    sure = [0.9, 0.9, 0.85, 0.6, 0.7, 0.8]
    frames = [[thing(100, 100, confidence=one)] for one in sure]
    detail = Detail(of="confidence", name="certainty")

    (line,) = annotated(inferred(tmp_path, results(*frames)), pets(details=(detail,)))["dog"]

    def said(name: str, confidence: float) -> list[Any]:
        return [{"name": "certainty", "answer": {"name": name, "confidence": confidence}}]

    assert [
        (1, said("0.8 and over", 0.9)),
        (13, said("0.8 and over", 0.85)),
        (19, said("0.5 to 0.8", 0.6)),
        (25, said("0.5 to 0.8", 0.7)),
        (31, said("0.8 and over", 0.8)),
    ] == below(line)


def test_boxes_can_say_where_a_face_looks(tmp_path: Path) -> None:
    """As text, in degrees."""
    style = Style(models={"gaze": ModelStyle(kinds=(Kind.BOX,), details=(Detail(of="direction", name="looks"),))})

    (line,) = annotated(inferred(tmp_path, looking(gaze(math.pi / 6, -math.pi / 4))), style)["face"]

    assert [(1, [{"name": "looks", "answer": "yaw 30, pitch -45 degrees"}])] == below(line)


def test_boxes_can_say_the_class_of_each_frame(tmp_path: Path) -> None:
    """Two classes under one feature, told apart by a question; no warning that the class changes."""
    frames = [[thing(100, 100, "sitting", tracker_id=4)], [thing(100, 100, "running", tracker_id=4)]]
    style = Style(
        classes={"sitting": "dog", "running": "dog"},
        models={"pets": ModelStyle(details=(Detail(of="class", name="does"),))},
    )
    delivery = inferred(tmp_path, results(*frames))

    (line,) = annotated(delivery, style)["dog"]

    assert ["sitting", "running"] == [said[0]["answer"]["name"] for _, said in below(line)]
    assert [] == annotate(delivery, style).warnings


def with_hats(*frames: Frame) -> dict[str, Any]:
    """A second model's detections beside two dogs, at 100 and 300."""
    dogs = [[thing(100, 100, tracker_id=1), thing(300, 100, tracker_id=2)] for _ in frames]
    return results(*dogs) | {"hats": results(*frames, model="hats")["hats"]}


def hat(x: float, name: str, confidence: float = 0.8, y: float = 70) -> dict[str, Any]:
    return {"x": x, "y": y, "width": 20, "height": 10, "confidence": confidence, "class": name, "class_id": 0}


def test_boxes_can_say_what_another_model_finds_in_them(tmp_path: Path) -> None:
    """Each of its objects tells of the box that has most of it; the document's checklist below a box."""
    found: list[Frame] = [[hat(100, "cap"), hat(100, "tie", 0.7, y=120), hat(300, "cap"), hat(500, "cap")], []]
    details = (Detail(of="hats", name="wears", many=True),)
    style = Style(models={"pets": ModelStyle(details=details), "hats": ModelStyle(silent=True)})

    made = annotated(inferred(tmp_path, with_hats(*found)), style)

    cap, tie = {"name": "cap", "confidence": 0.8}, {"name": "tie", "confidence": 0.7}
    assert {"dog"} == set(made)
    assert [
        [(1, [{"name": "wears", "answer": [cap, tie]}]), (7, [])],
        [(1, [{"name": "wears", "answer": [cap]}]), (7, [])],
    ] == [below(line) for line in made["dog"]]


def test_boxes_can_say_what_another_model_says_of_the_frame(tmp_path: Path) -> None:
    """A classifier's answer holds for every box."""
    said = {"predictions": [{"class": "wet", "class_id": 0, "confidence": 0.6}], "top": "wet"}
    both = results([thing(100, 100), thing(300, 100)]) | {"weather": [said]}
    style = Style(models={"pets": ModelStyle(details=(Detail(of="weather", name="ground"),))})

    made = annotated(inferred(tmp_path, both), style)

    answer = [{"name": "ground", "answer": {"name": "wet", "confidence": 0.6}}]
    assert [[(1, answer)], [(1, answer)]] == [below(line) for line in made["dog"]]
    assert "weather" in made


def test_a_model_that_the_job_does_not_have_cannot_be_asked(tmp_path: Path) -> None:
    """The hint names those that can."""
    style = Style(models={"pets": ModelStyle(details=(Detail(of="hat", name="wears"),))})

    with pytest.raises(DeliveryFailed, match="'hat', which is no other model") as refused:
        annotate(inferred(tmp_path, with_hats([])), style)

    assert "hats" in refused.value.hint
