"""Boxes and scores are those of the frame as LightlyOne sees it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.sinks.lightly.sink import LightlySink
from tests.contracts.deliveries import Box, make_delivery, model_predictions, video_info
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.tree_reader import PLAYER, ROOT, deliver


@pytest.mark.parametrize(
    ("size", "rotation", "inferred", "expected"),
    [
        ((640, 360), 0, (640, 360), [300, 140, 40, 80]),
        ((1280, 720), 0, (640, 360), [600, 280, 80, 160]),
        ((640, 360), 180, (640, 360), [300, 140, 40, 80]),
        ((360, 640), 90, (640, 360), [140, 300, 80, 40]),
        ((360, 640), 270, (640, 360), [140, 300, 80, 40]),
    ],
)
def test_boxes_are_those_of_the_frame_as_pyav_decodes_it(
    tmp_path: Path, size: tuple[int, int], rotation: int, inferred: tuple[int, int], expected: list[float]
) -> None:
    """LightlyOne decodes with PyAV, which does not turn frames; the box is in the middle of the picture."""
    model = model_predictions([[PLAYER]], size=inferred)

    tree, _ = deliver(tmp_path, [[PLAYER]], models=[model], info=video_info(size=size, rotation=rotation))

    ((prediction,),) = tree["players"].values()
    assert expected == prediction["bbox"]


def test_a_corner_stays_in_its_corner_when_turned_back(tmp_path: Path) -> None:
    """A phone video of 640x360 that a player turns a quarter counter-clockwise: top left was top right."""
    model = model_predictions([[Box(10, 20, 20, 40)]], size=(360, 640))

    tree, _ = deliver(tmp_path, [[PLAYER]], models=[model], info=video_info(rotation=90))

    ((prediction,),) = tree["players"].values()
    assert [600, 0, 40, 20] == prediction["bbox"]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(0, 0, 20, 20), [0, 0, 10, 10]),
        (Box(640, 360, 20, 20), [630, 350, 10, 10]),
        (Box(320, 180, 9999, 9999), [0, 0, 640, 360]),
        (Box(100, 100, 0.2, 0), [99.9, 100, 1, 1]),
        (Box(639.9, 359.9, 0.2, 0.2), [639, 359, 1, 1]),
    ],
)
def test_boxes_are_clipped_to_the_frame(tmp_path: Path, box: Box, expected: list[float]) -> None:
    """And at least a pixel wide and high, within it."""
    tree, _ = deliver(tmp_path, [[box]])

    ((prediction,),) = tree["players"].values()
    assert expected == prediction["bbox"]


@pytest.mark.parametrize(("confidence", "expected"), [(1.0000001, 1), (-1e-9, 0), (0.7, 0.7), (0.123456, 0.123456)])
def test_scores_are_between_nothing_and_one(tmp_path: Path, confidence: float, expected: float) -> None:
    """Artefacts of 32-bit numbers do not reach the file."""
    tree, _ = deliver(tmp_path, [[PLAYER._replace(confidence=confidence)]])

    ((prediction,),) = tree["players"].values()
    assert expected == prediction["score"]


def test_a_threshold_takes_what_is_exactly_on_it(tmp_path: Path) -> None:
    """0.7 as a 32-bit number is a little less than 0.7."""
    tree, _ = deliver(tmp_path, [[PLAYER._replace(confidence=0.7)]], sink={"min_confidence": 0.7})

    assert [1] == [len(predictions) for predictions in tree["players"].values()]


def test_a_box_that_is_none_fails_before_any_frame_is_written(tmp_path: Path) -> None:
    """NaN never reaches a file."""
    store = MemoryStorage()
    delivery = make_delivery(tmp_path, [[PLAYER], [PLAYER._replace(x=math.nan)]])

    with pytest.raises(DeliveryFailed):
        LightlySink(store, task_name="players").deliver(delivery)

    assert {f"{ROOT}players/schema.json"} >= set(contents(store))
