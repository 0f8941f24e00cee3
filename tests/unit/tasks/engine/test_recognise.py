"""Layouts that share a shape are told apart by metadata and by the answer to a test picture, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tasks.domain.errors import ModelInvalid
from tasks.engine.detectors import load_detector
from tasks.engine.onnx_session import FrameNotInferred
from tests.onnx_models import constant_model
from tests.unit.tasks.engine.found_dogs import CELLS, DOG, DOG_SHARES, FOUND, IMAGE, detr, end_to_end, yolov8, zeros

CASES = Path(__file__).parents[3] / "cases"


def renamed(path: Path, name: str, entries: dict[str, str]) -> Path:
    """A copy of a case's model that says other things of itself."""
    model = onnx.load(str(CASES / name))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, entries)
    onnx.save(model, str(path))
    return path


def first_frame() -> NDArray[np.uint8]:
    """320 x 240, with a red square of 16 pixels at (18, 40)."""
    with av.open(str(CASES / "clip.mp4")) as clip:
        frame: NDArray[np.uint8] = next(clip.decode(video=0)).to_ndarray(format="rgb24")
    return frame


@pytest.mark.parametrize(
    ("file", "entries", "layout"),
    [
        ("rtdetr.onnx", {"description": "Ultralytics RT-DETR-l model", "end2end": "True"}, "RT-DETR"),
        ("rtdetr.onnx", {}, "RT-DETR"),
        ("rtdetr.onnx", {"layout": "rt-detr"}, "RT-DETR"),
        ("deepstream_all_anchors.onnx", {}, "all anchors"),
        ("deepstream_all_anchors.onnx", {"layout": "all-anchors"}, "all anchors"),
        ("deepstream_all_anchors.onnx", {"description": "Ultralytics YOLO11n", "end2end": "False"}, "all anchors"),
    ],
)
def test_the_red_square_is_found_once_where_it_is(
    file: str, entries: dict[str, str], layout: str, tmp_path: Path
) -> None:
    """With what exporters write of themselves, and without: by what the model answers to a test picture."""
    names = ["red", "blue", "green"] if file == "rtdetr.onnx" else ["red", "blue"]
    detector = load_detector(renamed(tmp_path / "m.onnx", file, {"names": json.dumps(names), **entries}))
    assert layout == detector.layout.name
    (found,) = detector.detect(first_frame())
    assert ("red", 0.9) == (found.class_name, round(found.confidence, 2))
    assert pytest.approx((18, 40), abs=0.5) == (found.x, found.y)
    assert pytest.approx((16, 16), abs=3) == (found.width, found.height)


def rows(*values: tuple[float, ...], count: int = 300) -> NDArray[np.float32]:
    output = zeros(1, count, len(values[0]))
    output[0, : len(values)] = values
    return output


CORNERS = tuple(end_to_end()[0, 0, :4].tolist())
ULTRALYTICS = {"description": "Ultralytics RT-DETR-x model trained on coco.yaml", "task": "detect"}


@pytest.mark.parametrize(
    ("output", "metadata", "layout", "suppress"),
    [
        (rows((*CORNERS, 0.75, 1)), {}, "end-to-end YOLO", False),
        (
            rows((*CORNERS, 0.75, 1)),
            {"end2end": "True", "description": "Ultralytics YOLO26n"},
            "end-to-end YOLO",
            False,
        ),
        (zeros(1, 300, 6), {"end2end": "True"}, "end-to-end YOLO", False),
        (zeros(1, 300, 6), ULTRALYTICS, "RT-DETR", False),
        (rows((*DOG_SHARES, 0.75, 1)), ULTRALYTICS, "RT-DETR", False),
        (rows((*DOG_SHARES, 0.75, 1)), {}, "RT-DETR", False),
        (rows((*DOG_SHARES, 0.25, 0.75)), ULTRALYTICS, "RT-DETR", False),
        (rows((*CORNERS, 0.75, 1), (*CORNERS, 0.7, 1)), {}, "all anchors", True),
        (rows((*CORNERS, 0.75, 1), (*CORNERS, 0.7, 0)), {}, "end-to-end YOLO", False),
        (rows((*CORNERS, 0.75, 1), count=CELLS), {}, "all anchors", True),
        (rows((*CORNERS, 0.75, 1), count=3 * CELLS), {}, "all anchors", True),
        (rows((*CORNERS, 0.75, 1), count=8400), {}, "all anchors", True),
    ],
)
def test_rows_of_six_numbers(
    output: NDArray[np.float32], metadata: dict[str, str], layout: str, suppress: bool, tmp_path: Path
) -> None:
    """By values where there are any, by metadata where there are none, and the box is right."""
    detector = load_detector(constant_model(tmp_path / "m.onnx", {"output0": output}, metadata=metadata))
    assert (layout, suppress) == (detector.layout.name, detector.layout.suppress)
    if output.any():
        best = detector.detect(IMAGE, 0.72)
        assert [FOUND.class_name] == [found.class_name for found in best]
        assert pytest.approx((40, 30, 20, 10), abs=0.01) == (best[0].x, best[0].y, best[0].width, best[0].height)


def test_one_class_of_all_anchors_is_told_from_objectness(tmp_path: Path) -> None:
    """Rows that end with the id 0 hold a class; rows that end with a probability hold none."""
    of_deepstream = rows((*CORNERS, 0.75, 0), count=3 * CELLS)
    of_yolov5 = rows((*DOG, 0.75, 0.9), count=3 * CELLS)
    for output, layout in ((of_deepstream, "all anchors"), (of_yolov5, "YOLOv5")):
        path = constant_model(tmp_path / "m.onnx", {"output0": output}, names=["dog"])
        detector = load_detector(path)
        assert layout == detector.layout.name
        assert [40.0] == [found.x for found in detector.detect(IMAGE, 0.6)]


def test_rt_detr_with_a_score_for_each_class(tmp_path: Path) -> None:
    """Older Ultralytics exports, [1, Q, 4 + classes], and those of Hugging Face, boxes and logits apart."""
    names = ["cat", "dog", "cow"]
    older = {"output0": rows((*DOG_SHARES, 0.1, 0.75, 0.2))}
    parted = dict(zip(("pred_boxes", "logits"), detr(-20, float(np.log(3)), -20).values(), strict=True))
    for outputs, metadata in ((older, ULTRALYTICS), (parted, {})):
        path = constant_model(tmp_path / "m.onnx", outputs, names=names, metadata=metadata)
        detector = load_detector(path)
        assert ("RT-DETR", "stretch", "unit") == (detector.layout.name, detector.layout.fit, detector.layout.pixels)
        assert [FOUND] == detector.detect(IMAGE, 0.6)


@pytest.mark.parametrize(
    ("outputs", "metadata", "reason"),
    [
        ({"output0": rows((0.3, 0.3, 0.4, 0.4, 0.75, 1))}, {}, "neither corners in pixels nor"),
        ({"output0": rows((*DOG, 0.75, 1))}, {}, "neither corners in pixels nor"),
        ({"output0": rows((*CORNERS, 0.75, 0.5))}, {}, "holds no classes"),
        ({"output0": rows((*DOG, 0.25, 0.75), count=CELLS)}, {}, "holds no classes"),
        ({"output0": rows((*CORNERS, 0, 0.75))}, {}, "holds no classes"),  # the class comes before the score
        ({"output0": yolov8() - np.array([[0]] * 4 + [[0.5]] * 2, np.float32)}, {}, "scores below 0"),  # no sigmoid
        (
            {"pred_boxes": zeros(1, 9, 4), "logits": zeros(1, 9, 2)},
            {"names": '["dog", "no-object"]'},
            "no known layout",
        ),
        ({"output0": zeros(1, 8400, 6)}, {}, "sees nothing"),
        ({"output0": zeros(1, CELLS, 6)}, {}, "sees nothing"),
        ({"output0": rows((*CORNERS, 0.75, 2))}, {}, "beyond its 2 names"),
        ({"output0": rows((*CORNERS, 0.75, -1))}, {}, "beyond its 2 names"),
        ({"output0": rows((*CORNERS, 75, 1))}, {}, "no probabilities"),
        ({"output0": rows((*CORNERS, 0.75, 1))}, {"layout": "yolo"}, "unknown layout 'yolo'"),
        ({"output0": yolov8() / 64}, {}, "shares of the picture where pixels"),
        ({"output0": yolov8() * np.float32(8)}, {}, "no probabilities"),
        ({"dets": detr(0)["dets"] * 64, "labels": detr(-20, 5)["labels"]}, {}, "pixels where shares"),
        ({"pred_boxes": zeros(1, 20, 4), "logits": zeros(1, 20, 3)}, {}, "no known layout"),
    ],
)
def test_in_doubt_a_model_is_refused_with_all_shapes(
    outputs: dict[str, NDArray[np.float32]], metadata: dict[str, str], reason: str, tmp_path: Path
) -> None:
    """Before any video is run, and with what can be done."""
    path = constant_model(tmp_path / "m.onnx", outputs, metadata=metadata)
    with pytest.raises(ModelInvalid, match=reason) as caught:
        load_detector(path)
    assert 2 == caught.value.exit_code
    for name, value in outputs.items():
        assert f"{name} tensor(float) [{', '.join(map(str, value.shape))}]" in caught.value.message
    assert "images tensor(float) [1, 3, 64, 64]" in caught.value.message


def test_boxes_that_turn_out_to_be_shares_are_no_silence(tmp_path: Path) -> None:
    """A model that saw nothing in the test picture fails with its first find, not with "nothing found"."""
    path = constant_model(tmp_path / "m.onnx", {"output0": zeros(1, 300, 6)})
    detector = load_detector(path)
    with pytest.raises(ModelInvalid, match="shares of the picture"):
        detector.layout.read({"output0": rows((*DOG_SHARES, 0.75, 1))}, 0.5)


def test_what_turns_out_to_be_no_score_and_class_is_no_detection(tmp_path: Path) -> None:
    """A model whose rows end with class and score, and that saw nothing in the test picture, fails when it does."""
    detector = load_detector(constant_model(tmp_path / "m.onnx", {"output0": zeros(1, 300, 6)}))
    with pytest.raises(ModelInvalid, match="do not end with a score and a class"):
        detector.layout.read({"output0": rows((*CORNERS, 1, 0.75))}, 0.5)


def test_scores_that_are_no_probabilities_are_no_detection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the test picture gave, a frame with a score of 3 is not one with a sure thing."""
    detector = load_detector(constant_model(tmp_path / "m.onnx", {"output0": yolov8()}))
    monkeypatch.setattr(detector._session, "run", lambda _: {"output0": yolov8() * np.float32(4)})
    with pytest.raises(FrameNotInferred, match="no probabilities"):
        detector.detect(IMAGE)
