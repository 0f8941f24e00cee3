"""Detectors of every known layout find the same box, and results without sense fail the frame."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tasks.domain.predictions import TaskType
from tasks.engine.detectors import DEFAULT_CONFIDENCE, Detected, load_detector
from tasks.engine.onnx_session import FrameNotInferred
from tests.onnx_models import DYNAMIC_SIZE, colour_model, constant_model, gather_model, save
from tests.unit.tasks.engine.found_dogs import (
    FOUND,
    IMAGE,
    LAYOUTS,
    THREE_QUARTERS,
    detr,
    end_to_end,
    yolov5,
    yolov8,
    zeros,
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_box(layout: str, tmp_path: Path) -> None:
    """One dog, in pixels of the image, whichever way the model was exported."""
    detector = load_detector(LAYOUTS[layout](tmp_path / "model.onnx"))
    assert (layout, ("cat", "dog")) == (detector.layout.name, detector.classes)
    assert [FOUND] == detector.detect(IMAGE, 0.4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_respects_the_threshold(layout: str, tmp_path: Path) -> None:
    """At the confidence it stays, above it goes; without one, the default holds."""
    detector = load_detector(LAYOUTS[layout](tmp_path / "model.onnx"))
    assert 1 == len(detector.detect(IMAGE, 0.749))
    assert [] == detector.detect(IMAGE, 0.751)
    assert 1 == len(detector.detect(IMAGE))
    assert all(found.confidence >= DEFAULT_CONFIDENCE for found in detector.detect(IMAGE, None))


@pytest.mark.parametrize("layout", ["YOLOv8", "YOLOv5", "end-to-end YOLO", "RF-DETR"])
def test_half_precision_is_the_same(layout: str, tmp_path: Path) -> None:
    """Models that take and give float16 find the same box, to the precision they have."""
    outputs = {
        "YOLOv8": {"output0": yolov8()},
        "YOLOv5": {"output0": yolov5()},
        "end-to-end YOLO": {"output0": end_to_end()},
        "RF-DETR": detr(-20, THREE_QUARTERS),
    }[layout]
    found = load_detector(constant_model(tmp_path / "half.onnx", outputs, dtype="float16")).detect(IMAGE, 0.6)
    assert [("dog", 1)] == [(f.class_name, f.class_id) for f in found]
    assert pytest.approx((40, 30, 20, 10), abs=0.05) == (found[0].x, found[0].y, found[0].width, found[0].height)


def test_sizes_that_are_not_fixed_come_from_metadata_and_a_trial(tmp_path: Path) -> None:
    """A model exported with dynamic axes says its size in ``imgsz``; output shapes are those of a run."""
    path = constant_model(
        tmp_path / "dynamic.onnx",
        {"output0": yolov8()},
        shape=DYNAMIC_SIZE,
        metadata={"imgsz": "[64, 64]", "names": "{0: 'cat', 1: 'dog'}", "task": "detect"},
        dynamic_outputs=True,
    )
    assert [FOUND] == load_detector(path).detect(IMAGE, 0.6)


def test_given_class_names_override_the_files(tmp_path: Path) -> None:
    """Names from the caller are used where the file has none, or others."""
    path = constant_model(tmp_path / "m.onnx", {"output0": yolov8()}, names=None)
    detector = load_detector(path, classes=["Katze", "Hund"])
    assert ["Hund"] == [found.class_name for found in detector.detect(IMAGE, 0.6)]


@pytest.mark.parametrize(
    ("logits", "metadata"),
    [
        ((-20, THREE_QUARTERS, 9), {}),
        ((-20, THREE_QUARTERS, 9), {"background": "last"}),
        ((9, -20, THREE_QUARTERS), {"background": "first"}),
        ((-20, THREE_QUARTERS), {}),
    ],
    ids=["last by default", "last", "first", "none"],
)
def test_the_background_of_a_detr_is_never_an_object(
    logits: tuple[float, ...], metadata: dict[str, str], tmp_path: Path
) -> None:
    """Wherever the slot for nothing is, ids count the named classes from 0."""
    path = constant_model(tmp_path / "m.onnx", detr(*logits), metadata=metadata)
    assert [FOUND] == load_detector(path).detect(IMAGE, 0.4)


def test_a_detr_query_may_name_two_classes(tmp_path: Path) -> None:
    """Classes are independent there; both come out, the surer one first."""
    path = constant_model(tmp_path / "m.onnx", detr(0.0, THREE_QUARTERS))
    assert [("dog", 0.75), ("cat", 0.5)] == [
        (found.class_name, found.confidence) for found in load_detector(path).detect(IMAGE, 0.4)
    ]


def test_boxes_outside_the_image_vanish_and_others_are_clipped(tmp_path: Path) -> None:
    """A box in the grey bar is nothing; one across the edge ends at it."""
    output = zeros(1, 300, 6)
    output[0, 0] = (10, 0, 20, 15, 0.9, 0)  # wholly in the upper bar
    output[0, 1] = (-10, 10, 10, 26, 0.8, 0)  # over the left edge and into the bar
    detector = load_detector(constant_model(tmp_path / "m.onnx", {"output0": output}))
    found = Detected(x=10.0, y=10.0, width=20.0, height=20.0, confidence=0.8, class_name="cat", class_id=0)
    assert [found] == detector.detect(IMAGE)


def test_an_image_of_any_shape_is_taken(tmp_path: Path) -> None:
    """Tall, wide, tiny: boxes stay inside."""
    detector = load_detector(LAYOUTS["SSD"](tmp_path / "m.onnx"))
    for width, height in ((1, 1), (3, 500), (1000, 2), (64, 64)):
        (found,) = detector.detect(np.zeros((height, width, 3), np.uint8), 0.6)
        assert pytest.approx((width * 40 / 128, height * 30 / 64), abs=0.01) == (found.x, found.y)


@pytest.mark.parametrize(("colour", "name"), [((255, 0, 0), "red"), ((0, 255, 0), "green"), ((0, 0, 255), "blue")])
def test_yolo_models_see_rgb_from_0_to_1(colour: tuple[int, int, int], name: str, tmp_path: Path) -> None:
    """The first channel is red and white is 1."""
    image = np.full((64, 64, 3), colour, np.uint8)
    (found,) = load_detector(colour_model(tmp_path / "m.onnx", detr=False)).detect(image, 0.5)
    assert (name, 1.0) == (found.class_name, found.confidence)


def test_detr_models_see_imagenet_normalised_rgb(tmp_path: Path) -> None:
    """Each channel is shifted and scaled by ImageNet's mean and deviation."""
    image = np.full((64, 64, 3), (255, 128, 0), np.uint8)
    found = load_detector(colour_model(tmp_path / "m.onnx", detr=True)).detect(image, 0.0)
    logits = (np.array([255, 128, 0]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = dict(zip(("red", "green", "blue"), 1 / (1 + np.exp(-logits)), strict=True))
    assert pytest.approx(expected, abs=1e-4) == {f.class_name: f.confidence for f in found}


def test_a_failure_on_one_frame_is_named(tmp_path: Path) -> None:
    """The model runs on black and fails on white: the frame fails, in a way that can be caught."""
    detector = load_detector(gather_model(tmp_path / "m.onnx"))
    assert [] == detector.detect(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(FrameNotInferred, match="Gather node"):
        detector.detect(np.full((64, 64, 3), 255, np.uint8))


def test_outputs_that_stop_fitting_together_fail_the_frame(tmp_path: Path) -> None:
    """A model whose outputs change their size with the image fails where they disagree, and only there."""
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["values"], ["brightest"], keepdims=0),
        helper.make_node("Reshape", ["brightest", "one"], ["start"]),
        helper.make_node("Slice", ["all", "start", "ten", "one"], ["scores"]),
        helper.make_node("Identity", ["corners"], ["boxes"]),
    ]
    values = {"one": np.array([1]), "ten": np.array([10]), "all": zeros(1, 10, 2), "corners": zeros(1, 10, 4)}
    image = helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 64, 64, 3])
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in ("boxes", "scores")]
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "ragged", [image], results, constants)
    detector = load_detector(save(tmp_path / "m.onnx", graph, {"names": '["cat", "dog"]'}))
    assert [] == detector.detect(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(FrameNotInferred, match="do not fit together"):
        detector.detect(np.ones((64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((np.nan, 0, 9, 9, 0.9, 0), "not numbers"),
        ((0, 0, 9, 9, np.nan, 0), "not numbers"),
        ((0, 0, np.inf, 9, 0.9, 0), "without end"),
    ],
)
def test_results_without_sense_are_failures(row: tuple[float, ...], message: str, tmp_path: Path) -> None:
    """NaN and infinity are never passed on as detections."""
    output = zeros(1, 300, 6)
    output[0, 0] = row
    detector = load_detector(constant_model(tmp_path / "m.onnx", {"output0": output}))
    with pytest.raises(FrameNotInferred, match=message):
        detector.detect(np.zeros((64, 64, 3), np.uint8))


def test_a_detection_is_spelled_as_the_hosted_service_does() -> None:
    """Keys and their order as in the documented example."""
    expected = b'{"x":40.0,"y":30.0,"width":20.0,"height":10.0,"confidence":0.75,"class":"dog","class_id":1}'
    assert expected == msgspec.json.encode(FOUND)


def test_the_task_is_object_detection(tmp_path: Path) -> None:
    """As the service has to announce it."""
    assert TaskType.OBJECT_DETECTION == load_detector(LAYOUTS["SSD"](tmp_path / "m.onnx")).task
