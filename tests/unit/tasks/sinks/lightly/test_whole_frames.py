"""Classes and maps of whole frames, from results in the shapes that the service gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.sinks.lightly.sink import LightlySink
from tests.contracts.deliveries import video_info
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.tree_reader import mask_of
from tests.unit.tasks.sinks.lightly.recorded import (
    deliver,
    delivery_of,
    label_map,
    labels,
    refused,
    results,
    scores,
)

# --- classification


WEATHER = {"football": ("clouded", "rainy", "snowy", "sunny")}


def test_a_class_comes_with_the_probabilities_of_all(tmp_path: Path) -> None:
    """Classes under the service's threshold share what is missing to 1, and no file is ever empty."""
    frames = [labels("sunny", sunny=0.7), labels(""), None, labels("rainy", clouded=0.2, rainy=0.8)]

    tree, receipt = deliver(tmp_path, results(*frames), classes=WEATHER)

    first, last = tree["players"]["cup/final-000-mp4"][0], tree["players"]["cup/final-018-mp4"][0]
    assert (3, 1) == (first["category_id"], last["category_id"])
    assert pytest.approx([0.1, 0.1, 0.1, 0.7]) == first["probabilities"]
    assert pytest.approx([0.2, 0.8, 0, 0]) == last["probabilities"]
    assert 2 == len(tree["players"])
    assert (2, 1, 1) == tuple(receipt.counts[name] for name in ("classified", "without_class", "not_inferred"))


def test_a_class_that_is_not_listed_is_never_more_likely_than_one_that_is(tmp_path: Path) -> None:
    """It was under the threshold: two of four classes at 0.3 and 0.2 leave 0.5, of which each gets 0.2 at most."""
    tree, _ = deliver(tmp_path, results(labels("rainy", rainy=0.3, sunny=0.2)), classes=WEATHER)

    ((one,),) = tree["players"].values()
    assert 1 == one["category_id"]
    assert pytest.approx([2 / 9, 3 / 9, 2 / 9, 2 / 9]) == one["probabilities"]


@pytest.mark.parametrize("confidence", [{"a": 0.5, "b": 0.5}, {"a": 0.50001, "b": 0.5}, {"b": 1.0, "a": 1.0}])
def test_the_top_class_is_the_one_that_the_model_names(tmp_path: Path, confidence: dict[str, float]) -> None:
    """Also where rounding makes two alike, or the sum more than 1."""
    tree, _ = deliver(tmp_path, results(labels("b", None, **confidence)), classes={"football": ("a", "b")})

    ((one,),) = tree["players"].values()
    assert 1 == one["category_id"]


def test_of_several_labels_the_strongest_is_taken_and_that_is_said(tmp_path: Path) -> None:
    """Independent scores are brought to a sum of 1; a frame without any is left out."""
    tree, receipt = deliver(tmp_path, results(scores(day=0.9, rain=0.6, snow=0), scores(day=0, rain=0, snow=0)))

    ((one,),) = tree["players"].values()
    assert (0, pytest.approx([0.6, 0.4, 0])) == (one["category_id"], one["probabilities"])
    assert "strongest was taken" in receipt.warnings[0]
    assert 1 == receipt.counts["without_class"]


def test_weak_classes_can_be_left_out(tmp_path: Path) -> None:
    """The frame then has no file."""
    frames = [labels("a", a=0.6, b=0.4), labels("b", a=0.1, b=0.9)]

    tree, receipt = deliver(tmp_path, results(*frames), sink={"min_confidence": 0.8})

    assert ["cup/final-006-mp4"] == list(tree["players"])
    assert 1 == receipt.counts["below_confidence"]


def test_filled_frames_of_a_classification_have_a_class(tmp_path: Path) -> None:
    """A frame without a class speaks for none of its neighbours."""
    content = results(labels("a", a=0.6, b=0.4), labels(""), labels("b", a=0.1, b=0.9))

    tree, _ = deliver(tmp_path, content, sink={"fill": "nearest"})

    of = {int(frame[-7:-4]): predictions[0]["category_id"] for frame, predictions in tree["players"].items()}
    assert [0, 0, 1, 1] == [of[frame] for frame in (0, 6, 7, 12)]


def test_a_class_of_its_own_makes_a_later_video_fail_and_leaves_the_first_alone(tmp_path: Path) -> None:
    """The stored vectors have two numbers."""
    store = MemoryStorage()
    sink = LightlySink(store, task_name="players")
    sink.deliver(delivery_of(tmp_path, results(labels("a", a=0.6, b=0.4)), name="a.mp4"))
    before = contents(store)

    with pytest.raises(DeliveryFailed, match="'c' is none of them"):
        sink.deliver(delivery_of(tmp_path, results(labels("c", c=0.6, b=0.4)), name="b.mp4"))

    assert before == contents(store)


# --- semantic segmentation


def test_each_class_that_is_seen_is_a_segment(tmp_path: Path) -> None:
    """With the median of its pixels' confidence; values without a name are counted."""
    values, certain = np.zeros((360, 640), np.uint8), np.full((360, 640), 51, np.uint8)
    values[:10], values[350:] = 7, 9
    certain[:4] = 255
    frame = label_map(values, {0: "background", 7: "road", 8: "sky"}, certain)

    tree, receipt = deliver(tmp_path, results(frame, None))

    ((background, road),) = tree["players"].values()
    assert (0, 0.2, [6400, 340 * 640, 6400]) == tuple(
        background[key] for key in ("category_id", "score", "segmentation")
    )
    assert (1, 0.2, [0, 6400, 350 * 640]) == tuple(road[key] for key in ("category_id", "score", "segmentation"))
    assert (2, 6400) == (receipt.counts["segments"], receipt.counts["pixels_without_class"])
    assert not receipt.warnings


def test_maps_are_turned_back_and_scaled(tmp_path: Path) -> None:
    """A map of half the upright size of a phone video; without confidence, which is said."""
    info = video_info(size=(360, 640), rotation=90)
    values = np.zeros((180, 320), np.uint8)
    values[:10, :5] = 1

    tree, receipt = deliver(tmp_path, results(label_map(values, {1: "corner"})), info=info)

    ((corner,),) = tree["players"].values()
    expected = np.zeros((640, 360), np.bool_)
    expected[:10, 340:] = True
    assert (expected == mask_of(corner["segmentation"], info)).all()
    assert 1 == corner["score"]
    assert "no confidence" in receipt.warnings[0]


@pytest.mark.parametrize("text", ["no base64!", "aGVsbG8=", ""])
def test_a_map_that_is_none_leaves_no_frame(tmp_path: Path, text: str) -> None:
    """The frame before it is taken back."""
    good = label_map(np.ones((360, 640), np.uint8), {1: "road"})
    bad = json.loads(json.dumps(good))
    bad["predictions"]["segmentation_mask"] = text

    refused(tmp_path, results(good, bad), "no base64 PNG")


def test_a_map_in_colours_is_refused(tmp_path: Path) -> None:
    """A colour is no class."""
    refused(tmp_path, results(label_map(np.zeros((360, 640, 3), np.uint8), {1: "road"}) | {"image": None}), "in RGB")


def test_a_map_of_another_shape_is_refused(tmp_path: Path) -> None:
    """It is not of this video."""
    refused(tmp_path, results(label_map(np.ones((99, 99), np.uint8), {1: "road"})), "99x99")
