"""All five kinds of task, from results in the shapes that the service gives, through its parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.domain.video import VideoInfo
from tasks.sinks.lightly.sink import LightlySink
from tests.contracts.deliveries import video_info
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.tree_reader import ROOT, check_tree, mask_of
from tests.unit.tasks.sinks.lightly.recorded import (
    INFO,
    Shape,
    deliver,
    delivery_of,
    found,
    gaze,
    keypoint,
    label_map,
    labels,
    objects,
    outline,
    refused,
    results,
    schema_in,
    scores,
)

# --- instance segmentation


TRIANGLE = outline((10, 10), (30, 10), (10, 30))


def test_a_polygon_becomes_run_lengths_over_the_whole_frame(tmp_path: Path) -> None:
    """Row by row, and the box encloses both the service's box and the mask."""
    tree, receipt = deliver(tmp_path, results(objects(found(25, 20, 10, 10, points=TRIANGLE)), objects()))

    ((instance,), nothing) = tree["players"].values()
    mask = mask_of(instance["segmentation"], INFO)
    assert [21, 20, 19] == mask.sum(axis=1)[10:13].tolist()
    assert 231 == mask.sum()
    assert [10, 10, 21, 21] == instance["bbox"]
    assert [] == nothing
    assert (2, 1) == (receipt.counts["frames"], receipt.counts["objects"])


def test_a_coco_mask_becomes_run_lengths_by_rows(tmp_path: Path) -> None:
    """Down the columns it came, along the rows it goes: two rows of three pixels."""
    rows, first = INFO.height, INFO.height * 5 + 7
    counts = [first, 2, rows - 2, 2, rows - 2, 2]
    mask = {"size": [rows, INFO.width], "counts": [*counts, INFO.height * INFO.width - sum(counts)]}

    tree, _ = deliver(tmp_path, results(objects(found(6, 8, 2, 2, rle=mask, mask_format="rle"))))

    ((instance,),) = tree["players"].values()
    start = 7 * INFO.width + 5
    assert [start, 3, INFO.width - 3, 3] == instance["segmentation"][:4]
    assert [5, 7, 3, 2] == instance["bbox"]


@pytest.mark.parametrize(
    ("rotation", "corner"), [(90, (slice(0, 10), slice(340, 360))), (270, (slice(630, 640), slice(0, 20)))]
)
def test_masks_of_phone_videos_are_turned_back(tmp_path: Path, rotation: int, corner: Any) -> None:
    """A bar in the top left corner of the upright picture, as a polygon and as a COCO mask, is where PyAV has it."""
    info = video_info(size=(360, 640), rotation=rotation)  # upright it is 640x360
    polygon = outline((0, 0), (9, 0), (9, 19), (0, 19))
    counts: list[int] = [0]
    for _ in range(10):
        counts += [20, 340]
    counts[-1] += 360 * 630
    rle = {"size": [360, 640], "counts": counts}
    frame = objects(found(5, 10, 10, 20, points=polygon), found(5, 10, 10, 20, rle=rle), info=info)

    tree, _ = deliver(tmp_path, results(frame), info=info)

    ((by_polygon, by_rle),) = tree["players"].values()
    expected = np.zeros((640, 360), np.bool_)
    expected[corner] = True
    assert (expected == mask_of(by_polygon["segmentation"], info)).all()
    assert by_polygon == by_rle


def test_masks_of_a_smaller_image_are_scaled(tmp_path: Path) -> None:
    """The service looked at half the size; a polygon and a map give the same full-sized mask."""
    polygon = outline((10, 10), (19, 10), (19, 14), (10, 14))
    counts = [180 * 10 + 10, *[5, 175] * 10]
    counts[-1] += 180 * 320 - sum(counts)
    frame = objects(
        found(15, 12.5, 10, 5, points=polygon), found(15, 12.5, 10, 5, rle={"size": [180, 320], "counts": counts})
    )
    frame["image"] = {"width": 320, "height": 180}

    tree, _ = deliver(tmp_path, results(frame))

    ((by_polygon, by_rle),) = tree["players"].values()
    expected = np.zeros((360, 640), np.bool_)
    expected[20:30, 20:40] = True
    assert (expected == mask_of(by_rle["segmentation"], INFO)).all()
    assert [20, 20, 20, 10] == by_polygon["bbox"]


def test_objects_without_a_mask_in_the_frame_are_left_out_and_counted(tmp_path: Path) -> None:
    """A box is no mask; one that lies outside shows nothing."""
    away = outline((-30, 5), (-20, 5), (-20, 9))
    frame = objects(found(50, 50, 10, 10, points=TRIANGLE), found(9, 9, 5, 5), found(3, 3, 9, 9, points=away))

    tree, receipt = deliver(tmp_path, results(frame))

    assert [1] == [len(predictions) for predictions in tree["players"].values()]
    assert (1, 1, 1) == tuple(receipt.counts[name] for name in ("objects", "without_mask", "outside"))


@pytest.mark.parametrize(
    ("rle", "match"),
    [
        ({"size": [360, 640], "counts": "P"}, "a mask that is none"),
        ({"size": [360, 640], "counts": "10"}, "a mask that is none"),
        ({"size": [640, 640], "counts": [409600]}, "640x640"),
        ({"size": [40_000, 40_000], "counts": [1_600_000_000]}, "40000x40000"),
    ],
)
def test_a_mask_that_is_none_leaves_no_frame(tmp_path: Path, rle: Shape, match: str) -> None:
    """Frames before it were written already: they are taken back, and the task is not listed."""
    good = objects(found(25, 20, 10, 10, points=TRIANGLE))

    refused(tmp_path, results(*[good] * 40, objects(found(9, 9, 5, 5, rle=rle)), every=2), match)


# --- keypoints


def test_keypoints_stand_in_the_order_of_the_skeleton(tmp_path: Path) -> None:
    """Unseen ones are 0, 0, 0, so that all objects of a class have as many; classes differ."""
    frame = objects(
        found(100, 100, 20, 40, keypoints=[keypoint(104, 90, 2, "tail", 0.25), keypoint(95.5, 85, 0, "nose", 0.9)]),
        found(300, 100, 20, 40, keypoints=[keypoint(301, 99, 1, "eye")]),
        found(200, 200, 60, 30, "car", keypoints=[keypoint(180, 210, 0, "front"), keypoint(220, 210, 1, "back")]),
    )
    store = MemoryStorage()

    tree, _ = deliver(tmp_path, results(frame, objects()), store=store)

    one, other, car = tree["players"]["cup/final-000-mp4"]
    assert [95.5, 85, 0.9, 0, 0, 0, 104, 90, 0.25] == one["keypoints"]
    assert [0, 0, 0, 301, 99, 0.5, 0, 0, 0] == other["keypoints"]
    assert [180, 210, 0.5, 220, 210, 0.5] == car["keypoints"]
    assert [90, 80, 20, 40] == one["bbox"]
    assert [] == tree["players"]["cup/final-006-mp4"]
    assert ["nose", "eye", "tail"] == schema_in(store)["categories"][0]["keypoints"]


def test_a_later_video_that_shows_fewer_keypoints_is_padded(tmp_path: Path) -> None:
    """The first one decided how many there are."""
    store = MemoryStorage()
    full = objects(found(100, 100, 20, 40, keypoints=[keypoint(99, 99, n, str(n)) for n in range(4)]))
    less = objects(found(100, 100, 20, 40, keypoints=[keypoint(98, 97, 1, "1")]))
    for name, frame in (("a.mp4", full), ("b.mp4", less)):
        LightlySink(store, task_name="players").deliver(delivery_of(tmp_path, results(frame), name=name))

    tree = check_tree(store, {"a.mp4": INFO, "b.mp4": INFO})["players"]
    assert [0, 0, 0, 98, 97, 0.5, 0, 0, 0, 0, 0, 0] == tree["b-000-mp4"][0]["keypoints"]


def test_a_keypoint_that_stored_vectors_lack_is_refused(tmp_path: Path) -> None:
    """The hint says how to name all of them from the start, and then every video fits."""
    less = objects(found(100, 100, 20, 40, keypoints=[keypoint(98, 97, 0, "nose")]))
    more = objects(found(100, 100, 20, 40, keypoints=[keypoint(98, 97, 1, "eye")]))
    for named in ({}, {"player": ["nose", "eye", "tail"]}):
        store = MemoryStorage()
        sink = LightlySink(store, task_name="players", keypoints=named)
        sink.deliver(delivery_of(tmp_path, results(less), name="a.mp4"))
        second = delivery_of(tmp_path, results(more), name="b.mp4")
        if not named:
            with pytest.raises(DeliveryFailed, match="'eye'") as caught:
                sink.deliver(second)
            assert "`keypoints`" in caught.value.hint
            assert {"a-000-mp4"} == set(check_tree(store, {"a.mp4": INFO})["players"])
            continue
        sink.deliver(second)
        tree = check_tree(store, {"a.mp4": INFO, "b.mp4": INFO})["players"]
        assert [0, 0, 0, 98, 97, 0.5, 0, 0, 0] == tree["b-000-mp4"][0]["keypoints"]


def test_keypoints_of_phone_videos_are_turned_back_and_kept_in_the_frame(tmp_path: Path) -> None:
    """Upright they are near the top left corner, one a little outside."""
    info = video_info(size=(360, 640), rotation=90)
    frame = objects(found(20, 10, 30, 20, keypoints=[keypoint(10, 4, 0, "nose"), keypoint(-2, 6, 1, "eye")]), info=info)

    tree, _ = deliver(tmp_path, results(frame), info=info)

    ((one,),) = tree["players"].values()
    assert [356, 10, 0.5, 354, 0, 0.5] == one["keypoints"]


def test_an_object_of_a_class_without_keypoints_is_left_out(tmp_path: Path) -> None:
    """The format has no place for it; the receipt counts it."""
    frame = objects(found(9, 9, 5, 5, "ball"), found(100, 100, 20, 40, keypoints=[keypoint(98, 97, 0, "nose")]))

    tree, receipt = deliver(tmp_path, results(frame))

    assert [1] == [len(predictions) for predictions in tree["players"].values()]
    assert 1 == receipt.counts["without_keypoints"]


# --- several models, and none


def test_several_models_of_a_job_are_several_tasks(tmp_path: Path) -> None:
    """Each with its kind; embeddings are left out and said."""
    store = MemoryStorage()
    content = results(
        objects(found(25, 20, 10, 10)),
        more={
            "pose/3": [objects(found(9, 9, 5, 5, keypoints=[keypoint(8, 8, 0, "nose")]))],
            "gaze": [{"predictions": [gaze(50, 60, 20, 20)]}],
            "clip": [[0.1, 0.2]],
        },
    )

    tree, receipt = deliver(tmp_path, content, store=store)

    assert ["players", "players-pose", "players-gaze"] == list(tree)
    kinds = [json.loads(store.read(f"{ROOT}{task}/schema.json"))["task_type"] for task in tree]
    assert ["object-detection", "keypoint-detection", "object-detection"] == kinds
    assert [40, 50, 20, 20] == tree["players-gaze"]["cup/final-000-mp4"][0]["bbox"]
    assert "clip" in receipt.warnings[0]


def test_clip_alone_is_refused_with_a_hint(tmp_path: Path) -> None:
    """Vectors are no predictions that LightlyOne takes."""
    error = refused(tmp_path, results([0.1, 0.2], model="clip"), "nothing in these results")

    assert "results route" in error.hint


def test_a_video_in_which_nothing_was_found_does_not_change_the_kind_of_its_task(tmp_path: Path) -> None:
    """Results without any object do not tell what kind of model it was; the task does."""
    store = MemoryStorage()
    sink = LightlySink(store, task_name="players")
    sink.deliver(delivery_of(tmp_path, results(objects(found(25, 20, 9, 9, points=TRIANGLE))), name="a.mp4"))

    sink.deliver(delivery_of(tmp_path, results(objects(), objects()), name="b.mp4"))

    tree = check_tree(store, {"a.mp4": INFO, "b.mp4": INFO})
    assert [] == tree["players"]["b-006-mp4"]
    assert "instance-segmentation" == schema_in(store)["task_type"]


@pytest.mark.parametrize("kind", [TaskType.INSTANCE_SEGMENTATION, TaskType.KEYPOINT_DETECTION])
def test_the_control_planes_word_decides_the_kind(tmp_path: Path, kind: TaskType) -> None:
    """Even of a video without any object."""
    store = MemoryStorage()

    deliver(tmp_path, results(objects()), store=store, tasks={"football": kind}, classes={"football": ("player",)})

    assert kind == schema_in(store)["task_type"]


def test_another_kind_under_the_same_name_is_refused(tmp_path: Path) -> None:
    """The task keeps what it has."""
    store = MemoryStorage()
    LightlySink(store, task_name="players").deliver(delivery_of(tmp_path, results(objects(found(9, 9, 5, 5)))))
    before = contents(store)

    with pytest.raises(DeliveryFailed, match="holds object-detection predictions, not classification") as caught:
        LightlySink(store, task_name="players").deliver(
            delivery_of(tmp_path, results(labels("a", a=1.0)), name="b.mp4")
        )

    assert "task_name" in caught.value.hint
    assert before == contents(store)


@pytest.mark.parametrize(
    "frames",
    [
        [objects(found(25, 20, 10, 10, points=TRIANGLE))],
        [objects(found(25, 20, 10, 10, keypoints=[keypoint(8, 8, 0, "nose")]))],
        [labels("a", a=0.6, b=0.4)],
        [scores(a=0.6, b=0.4)],
        [label_map(np.ones((360, 640), np.uint8), {1: "road"})],
    ],
    ids=["instances", "keypoints", "labels", "scores", "maps"],
)
def test_delivering_again_changes_no_byte(tmp_path: Path, frames: list[Shape]) -> None:
    """Whatever the kind."""
    store = MemoryStorage()
    for _ in range(2):
        LightlySink(store, task_name="players").deliver(delivery_of(tmp_path, results(*frames)))
        before = contents(store)
        check_tree(store, {"cup/final.mp4": INFO})

    assert before == contents(store)


def info_of(size: tuple[int, int]) -> VideoInfo:
    return video_info(size=size)


@pytest.mark.parametrize(
    "frame",
    [
        objects(found(25, 20, 10, 10, points=TRIANGLE)),
        objects(found(25, 20, 10, 10, keypoints=[keypoint(8, 8, 0, "nose")])),
        label_map(np.ones((360, 640), np.uint8), {1: "road"}),
    ],
    ids=["instances", "keypoints", "maps"],
)
def test_results_of_a_video_of_another_shape_are_refused(tmp_path: Path, frame: Shape) -> None:
    """Before anything is written."""
    refused(tmp_path, results(frame), "no scaling", info=info_of((640, 480)))
