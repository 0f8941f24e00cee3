"""What embeddings, label maps and detections say of whole frames."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.domain.errors import DeliveryFailed
from tasks.sinks.labelbox.ndjson import annotate
from tasks.sinks.labelbox.style import Kind, ModelStyle, Prompts, Style
from tests.unit.tasks.sinks.labelbox.strict_reader import annotated, inferred, spans_of


def clip(*vectors: list[float] | None) -> dict[str, Any]:
    return {"frame_offset": [6 * index for index in range(len(vectors))], "clip": list(vectors)}


PROMPTS = Prompts(names=("a goal", "a foul"), vectors=np.array([[1.0, 0.0], [0.0, 1.0]]))


def test_frames_get_the_prompt_that_they_are_nearest_to(tmp_path: Path) -> None:
    """Cosines of 0.8 and 0.6 are 1 / (1 + e^-2) and the rest at a temperature of 0.1, whatever the length."""
    style = Style(models={"clip": ModelStyle(name="scene", prompts=PROMPTS, temperature=0.1)})
    results = clip([8.0, 6.0], [0.8, 0.6], None, [0.0, 3.0])

    assert {
        "scene": [
            {"answer": {"name": "a goal", "confidence": 0.8808, "frames": spans_of((1, 12))}},
            {"answer": {"name": "a foul", "confidence": 1.0, "frames": spans_of((19, 24))}},
        ]
    } == annotated(inferred(tmp_path, results), style)


def test_prompts_of_another_length_are_refused(tmp_path: Path) -> None:
    """They are of another CLIP."""
    style = Style(models={"clip": ModelStyle(prompts=PROMPTS)})

    with pytest.raises(DeliveryFailed, match="embeddings of 3 numbers, the prompts have 2"):
        annotate(inferred(tmp_path, clip([1.0, 2.0, 3.0])), style)


def png(pixels: list[list[int]]) -> str:
    file = BytesIO()
    Image.fromarray(np.array(pixels, np.uint8)).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def test_a_semantic_segmentation_says_which_classes_are_there(tmp_path: Path) -> None:
    """Those that cover enough of the picture, but the background; a map that cannot be read was not looked at."""
    classes = {"0": "background", "1": "road", "2": "sky"}
    maps = [png([[0, 1], [1, 2]]), png([[0, 1], [1, 1]]), "not a picture", png([[1, 1], [1, 1]])]
    sure = png([[255, 255], [51, 153]])
    frames = [{"predictions": {"segmentation_mask": one, "class_map": classes}} for one in maps]
    frames[0]["predictions"]["confidence_mask"] = sure
    delivery = inferred(tmp_path, {"frame_offset": [0, 6, 12, 18], "streets": frames})
    style = Style(models={"streets": ModelStyle(min_share=0.25)})

    (line,) = annotated(delivery, style)["streets"]

    assert [
        {"name": "road", "confidence": 0.8667, "frames": spans_of((1, 24))},
        {"name": "sky", "confidence": 0.6, "frames": spans_of((1, 6))},
    ] == line["answer"]
    assert "1 label map cannot be read" in annotate(delivery, style).warnings[-1]


def boxes(*frames: list[tuple[str, float, float]]) -> dict[str, Any]:
    """Results of a detector: class, centre x and centre y of boxes of 10 by 20 pixels."""
    return {
        "frame_offset": [6 * index for index in range(len(frames))],
        "chars": [
            {
                "image": {"width": 640, "height": 360},
                "predictions": [
                    {"x": x, "y": y, "width": 10, "height": 20, "confidence": 0.8, "class": name, "class_id": 0}
                    for name, x, y in found
                ],
            }
            for found in frames
        ],
    }


def test_what_characters_spell_is_a_text(tmp_path: Path) -> None:
    """From the left, line by line; longer names are words."""
    plate = [("7", 40.0, 103.0), ("A", 20.0, 100.0), ("B", 30.0, 98.0), ("X", 25.0, 140.0)]
    style = Style(models={"chars": ModelStyle(kinds=(Kind.TEXT,), name="plate")})

    (line,) = annotated(inferred(tmp_path, boxes(plate, [], [("STOP", 90.0, 50.0), ("THE", 30.0, 50.0)])), style)[
        "plate"
    ]

    assert [
        {"value": "AB7\nX", "frames": spans_of((1, 6))},
        {"value": "THE STOP", "frames": spans_of((13, 18))},
    ] == line["answer"]


def test_which_objects_are_seen_is_a_checklist(tmp_path: Path) -> None:
    """Beside their boxes, if both are asked for."""
    style = Style(models={"chars": ModelStyle(kinds=(Kind.BOX, Kind.CHECKLIST), name="seen")})

    made = annotated(inferred(tmp_path, boxes([("A", 20, 100), ("A", 90, 100)], [("B", 300, 100)])), style)

    assert {"A", "B", "seen"} == set(made)
    assert [
        {"name": "A", "confidence": 0.8, "frames": spans_of((1, 6))},
        {"name": "B", "confidence": 0.8, "frames": spans_of((7, 12))},
    ] == made["seen"][0]["answer"]
