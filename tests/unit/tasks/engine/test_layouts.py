"""A model file's layout is known by its shapes and names, and what is not known is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from tasks.domain.errors import ModelInvalid
from tasks.engine.detectors import load_detector
from tests.onnx_models import DYNAMIC_SIZE, constant_model, gather_model, save
from tests.unit.tasks.engine.found_dogs import CELLS, Floats, yolov8, zeros


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
