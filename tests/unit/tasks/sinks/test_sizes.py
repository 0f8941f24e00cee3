"""Videos whose picture changes its size in mid-stream: what is left out, and in whose pixels the rest is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.domain.predictions import Labels, ModelPredictions, TaskType
from tasks.domain.video import VideoInfo
from tasks.sinks.base import Receipt
from tasks.sinks.geometry import Size, same_shape
from tasks.sinks.lightly.sink import LightlySink
from tasks.sinks.sizes import misfit_warnings, without_misfits
from tests.contracts.deliveries import Box, make_delivery, model_predictions, video_info
from tests.contracts.memory_storage import MemoryStorage, contents

WIDE, LARGE, TALL = (320, 240), (640, 480), (240, 320)


def of_sizes(*sizes: Size | None, task: TaskType = TaskType.OBJECT_DETECTION) -> ModelPredictions:
    """A model that finds one thing in the middle of each image, a tenth as wide and high; None: not inferred."""
    frames = [None if size is None else [Box(size[0] / 2, size[1] / 2, size[0] / 10, size[1] / 10)] for size in sizes]
    model = model_predictions(frames, task=task)
    model.image_size[:] = [size or (0, 0) for size in sizes]
    return model


@pytest.mark.parametrize(
    ("info", "sizes", "left_out"),
    [
        (video_info(size=WIDE), [WIDE, LARGE, TALL, WIDE], [2]),
        (video_info(size=WIDE), [None, TALL, WIDE], [1]),
        (video_info(size=LARGE), [WIDE, WIDE, TALL], [2]),  # the service scales
        (video_info(size=WIDE, rotation=90), [TALL, (480, 640), WIDE], [2]),  # upright; lying it would fit
        (video_info(size=WIDE, rotation=90), [WIDE, LARGE, TALL], [2]),  # as coded; turned it would fit
        (video_info(size=WIDE), [(500, 500), (400, 100)], []),  # of another video: placing says so
        (video_info(size=WIDE), [WIDE, (0, 0), None], []),
    ],
)
def test_pictures_of_another_shape_are_left_out(info: VideoInfo, sizes: list[Size | None], left_out: list[int]) -> None:
    """By the first picture's shape, as the service shows it; whatever is left can be placed."""
    model = of_sizes(*sizes)

    (fitting,), (misfit,) = without_misfits([model], info)

    assert left_out == np.flatnonzero(misfit).tolist()
    assert not set(left_out) & set(fitting.objects.sample.tolist())
    assert len(fitting.objects) == len(model.objects) - len(left_out)
    assert bool(left_out) == bool(misfit_warnings([misfit, misfit]))


def test_classes_of_whole_frames_need_no_shape() -> None:
    """A turned picture is still of what it is of."""
    labels = Labels(
        sample=np.arange(2, dtype=np.int32),
        class_code=np.zeros(2, np.int32),
        confidence=np.ones(2, np.float32),
        chosen=np.ones(2, np.bool_),
    )
    model = replace(model_predictions([[], []], task=TaskType.CLASSIFICATION), labels=labels)
    model.image_size[:] = [WIDE, TALL]

    (fitting,), (misfit,) = without_misfits([model], video_info(size=WIDE))

    assert 2 == len(fitting.labels)
    assert not misfit.any()
    assert [] == misfit_warnings([misfit])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((320, 180), (854, 480), True),
        ((854, 480), (214, 120), True),
        ((1280, 720), (426, 240), True),
        ((320, 240), (240, 320), False),
        ((320, 240), (320, 180), False),
        ((1920, 1080), (1920, 1088), False),
        ((320, 0), (320, 240), False),
    ],
)
def test_a_shape_is_told_by_the_smaller_picture(one: Size, other: Size, same: bool) -> None:
    """A side of it may be rounded, which is some pixels of the larger one; either may come first."""
    assert same == same_shape(one, other)
    assert same == same_shape(other, one)


def lightly(
    folder: Path, sizes: Sequence[Size | None], info: VideoInfo, fill: str = "none"
) -> tuple[dict[int, list[list[float]]], Receipt]:
    """Deliver an inference of every sixth frame; return the boxes of each frame that has a file."""
    store = MemoryStorage()
    frames: list[list[Box] | None] = [[] if size else None for size in sizes]
    delivery = make_delivery(folder, frames, info=info, models=[of_sizes(*sizes)], name="v.mp4")
    receipt = LightlySink(store, task_name="t", fill=fill).deliver(delivery)  # type: ignore[arg-type]
    files = {key: data for key, data in contents(store).items() if "/t/v-" in key}
    return {
        int(key.split("-")[1]): [one["bbox"] for one in json.loads(data)["predictions"]] for key, data in files.items()
    }, receipt


def middle(size: Size) -> list[list[float]]:
    width, height = size
    return [[width * 0.45, height * 0.45, width / 10, height / 10]]


def test_lightly_has_each_frame_in_its_own_pixels(tmp_path: Path) -> None:
    """Growing, shrinking and back; a frame of another shape has no file."""
    found, receipt = lightly(tmp_path, [WIDE, LARGE, TALL, (160, 120), WIDE], video_info(size=WIDE))

    assert {0: middle(WIDE), 6: middle(LARGE), 18: middle((160, 120)), 24: middle(WIDE)} == found
    assert {"video_frames": 100, "frames": 4, "objects": 4} == receipt.counts
    assert ("1 inferred frame was left out: the picture has another shape there than at the start",) == receipt.warnings


def test_lightly_turns_each_frame_back_in_its_own_pixels(tmp_path: Path) -> None:
    """Of a video that players turn, files are about the coded frame."""
    found, _ = lightly(tmp_path, [TALL, (480, 640)], video_info(size=WIDE, rotation=90))

    assert {0: middle(WIDE), 6: middle(LARGE)} == found


def test_lightly_leaves_out_sizes_that_a_service_does_not_tell(tmp_path: Path) -> None:
    """A service that scales pictures says how large its own are, not how large the frames were."""
    found, receipt = lightly(tmp_path, [WIDE, LARGE, WIDE], video_info(size=(1280, 960)))

    assert {0, 12} == set(found)
    assert ["1 inferred frame was left out"] == [warning.split(":")[0] for warning in receipt.warnings]


@pytest.mark.parametrize("fill", ["nearest", "hold"])
def test_lightly_copies_nothing_across_a_change(tmp_path: Path, fill: str) -> None:
    """How large the frames are between two samples of different sizes nobody knows: they get no file."""
    found, _ = lightly(tmp_path, [WIDE, WIDE, LARGE, LARGE, TALL, WIDE], video_info(size=WIDE), fill)

    assert {*range(7), *range(12, 19), *range(30, 61)} == set(found)
    assert all(found[frame] == middle(LARGE if 12 <= frame <= 18 else WIDE) for frame in found)
