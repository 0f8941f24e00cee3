"""Detectors of every known layout find the same box, and unknown ones are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tasks.domain.errors import ModelInvalid
from tasks.domain.predictions import TaskType
from tasks.engine.detectors import DEFAULT_CONFIDENCE, Detected, load_detector
from tasks.engine.onnx_session import FrameNotInferred
from tests.onnx_models import DYNAMIC_SIZE, colour_model, constant_model, gather_model, save

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


def test_a_model_of_any_size_must_name_one(tmp_path: Path) -> None:
    """Nothing is assumed about the size that a model was trained for."""
    path = constant_model(tmp_path / "any.onnx", {"output0": yolov8()}, shape=DYNAMIC_SIZE)
    with pytest.raises(ModelInvalid, match=r"any size.*images tensor\(float\) \[\?, 3, \?, \?\]") as caught:
        load_detector(path)
    assert "imgsz" in caught.value.hint


@pytest.mark.parametrize(
    "names",
    [
        '["cat", "dog"]',
        "['cat', 'dog']",
        "{0: 'cat', 1: 'dog'}",
        '{"0": "cat", "1": "dog"}',
        "{1: 'dog', 0: 'cat'}",
        '["???", "cat", "dog"]',
        '["background", "cat", "dog"]',
    ],
)
def test_class_names_are_read_in_every_spelling(names: str, tmp_path: Path) -> None:
    """JSON or Python, list or mapping, with or without a name for the background."""
    path = constant_model(tmp_path / "m.onnx", {"output0": yolov8()}, metadata={"names": names}, names=None)
    assert ("cat", "dog") == load_detector(path).classes


@pytest.mark.parametrize("names", ["", "cat, dog", "{0: 'cat', 2: 'dog'}", "3", "[1, 2]", "[]", "['???']", "(" * 500])
def test_unusable_class_names_are_refused(names: str, tmp_path: Path) -> None:
    """A model without names, or with gaps in its ids, cannot be used; the hint says what to add."""
    path = constant_model(
        tmp_path / "m.onnx", {"output0": yolov8()}, metadata={"names": names} if names else {}, names=None
    )
    with pytest.raises(ModelInvalid, match="class") as caught:
        load_detector(path)
    assert '"names"' in caught.value.hint


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


@pytest.mark.parametrize(
    ("outputs", "options"),
    [
        ({"output0": zeros(1, 84, CELLS)}, {}),
        ({"output0": zeros(1, 3 * CELLS, 85)}, {}),
        ({"output0": zeros(1, CELLS, 7)}, {}),
        ({"output0": zeros(1, CELLS, 6)}, {"names": ["cat"]}),
        ({"output0": zeros(1, 6)}, {}),
        ({"output0": zeros(1, 1000)}, {}),
        ({"output0": zeros(2, 300, 6)}, {}),
        ({"output0": zeros(1, 6, 999)}, {}),
        ({"output0": yolov8(), "output1": zeros(1, 32, 16, 16)}, {}),
        ({"labels": zeros(1, 300), "boxes": zeros(1, 300, 4), "scores": zeros(1, 300)}, {}),
        ({"boxes": zeros(1, 10, 4), "scores": zeros(1, 10, 3)}, {}),
        ({"boxes": zeros(1, 10, 4), "scores": zeros(1, 10, 5)}, {"dtype": "uint8", "shape": (1, 64, 64, 3)}),
        ({"boxes": zeros(1, 10, 4), "scores": zeros(1, 9, 3)}, {"dtype": "uint8", "shape": (1, 64, 64, 3)}),
        ({"dets": zeros(1, 10, 4), "labels": zeros(1, 10, 91)}, {}),
        ({"dets": zeros(1, 10, 4), "labels": zeros(1, 10, 3)}, {"metadata": {"background": "middle"}}),
        ({"output0": yolov8()}, {"dtype": "uint8"}),
        ({"output0": yolov8()}, {"shape": (1, 1, 64, 64)}),
        ({"output0": yolov8()}, {"shape": (4, 3, 64, 64)}),
        ({"output0": yolov8()}, {"shape": (1, 64)}),
        ({"output0": yolov8()}, {"metadata": {"task": "segment"}}),
    ],
    ids=[
        "other class count",
        "other class count with objectness",
        "undecoded grid",
        "one class: grid or end-to-end",
        "flat",
        "classifier",
        "batch of two",
        "other anchors",
        "masks",
        "RT-DETR",
        "float SSD",
        "SSD with too many slots",
        "SSD that disagrees",
        "DETR with unnamed classes",
        "DETR with an unknown background",
        "YOLO on bytes",
        "grey image",
        "fixed batch",
        "no image",
        "segmentation",
    ],
)
def test_what_is_not_known_is_refused_with_its_shapes(
    outputs: dict[str, Floats], options: dict[str, Any], tmp_path: Path
) -> None:
    """No guess: the error lists every input and output."""
    path = constant_model(tmp_path / "m.onnx", outputs, **options)
    with pytest.raises(ModelInvalid) as caught:
        load_detector(path)
    for name, value in outputs.items():
        assert f"{name} tensor(float) [{', '.join(map(str, value.shape))}]" in caught.value.message
    assert "images tensor(" in caught.value.message


@pytest.mark.parametrize("rows", [5, 84 * 3 + 1, 300])
def test_one_class_end_to_end_is_told_from_grids(rows: int, tmp_path: Path) -> None:
    """Six columns are corners, score and class unless the rows are those of a grid."""
    path = constant_model(tmp_path / "m.onnx", {"output0": zeros(1, rows, 6)}, names=["cat"])
    assert "end-to-end YOLO" == load_detector(path).layout.name


def test_one_class_with_objectness_is_told_by_its_anchors(tmp_path: Path) -> None:
    """Six columns over three anchors per cell are YOLOv5 with a single class."""
    path = constant_model(tmp_path / "m.onnx", {"output0": zeros(1, 3 * CELLS, 6)}, names=["cat"])
    assert "YOLOv5" == load_detector(path).layout.name


@pytest.mark.parametrize("cells", [84, 84 + 256, 84 + 1])
def test_models_with_more_feature_maps_are_known(cells: int, tmp_path: Path) -> None:
    """P2 and P6 heads have other grids."""
    path = constant_model(tmp_path / "m.onnx", {"output0": yolov8(cells=cells)})
    assert "YOLOv8" == load_detector(path).layout.name


def test_what_looks_like_yolox_gets_a_hint(tmp_path: Path) -> None:
    """Its boxes may need decoding, so it is refused with advice."""
    path = constant_model(tmp_path / "m.onnx", {"output0": zeros(1, CELLS, 7)})
    with pytest.raises(ModelInvalid) as caught:
        load_detector(path)
    assert "YOLOX" in caught.value.hint


@pytest.mark.parametrize("content", [None, b"", b"not a model", b"\x08\x08"])
def test_what_is_no_model_is_refused(content: bytes | None, tmp_path: Path) -> None:
    """A missing file, an empty one, and garbage."""
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelInvalid, match=r"model\.onnx"):
        load_detector(path)


def test_a_model_that_does_not_run_is_refused(tmp_path: Path) -> None:
    """Loading tries it once, so that the first video is not the first to know."""
    with pytest.raises(ModelInvalid, match="does not run"):
        load_detector(gather_model(tmp_path / "m.onnx", least=1.0))


def test_a_model_that_wants_more_than_an_image_is_refused(tmp_path: Path) -> None:
    """RT-DETR's export, for one, also wants the size of the original image."""
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])
    wanted = helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2])
    result = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 3, 64, 64])
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["boxes"])], "two", [image, wanted], [result])
    with pytest.raises(ModelInvalid, match=r"exactly one image.*orig_target_sizes tensor\(int64\) \[1, 2\]"):
        load_detector(save(tmp_path / "m.onnx", graph, {"names": '["cat"]'}))


def test_a_model_of_lists_is_refused(tmp_path: Path) -> None:
    """Outputs that are sequences of tensors are no known layout."""
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])
    result = helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None)
    nodes = [helper.make_node("SequenceConstruct", ["images"], ["list"])]
    path = save(tmp_path / "m.onnx", helper.make_graph(nodes, "list", [image], [result]), {"names": '["cat"]'})
    with pytest.raises(ModelInvalid, match="other than tensors"):
        load_detector(path)


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
        ((0, 0, 9, 9, 0.9, 2), "2 names"),
        ((0, 0, 9, 9, 0.9, -1), "2 names"),
    ],
)
def test_results_without_sense_are_failures(row: tuple[float, ...], message: str, tmp_path: Path) -> None:
    """NaN, infinity and unknown classes are never passed on as detections."""
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
