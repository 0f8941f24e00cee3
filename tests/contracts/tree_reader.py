"""Delivering a video, and reading the datasource as strictly as its documentation allows."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.video import VideoInfo
from tasks.sinks.lightly.sink import LightlySink
from tasks.storage.base import Storage
from tests.contracts.deliveries import Box, Frames, make_delivery
from tests.contracts.memory_storage import MemoryStorage, contents

ROOT = ".lightly/predictions/"
PLAYER = Box(320, 180, 40, 80, confidence=0.8)


def check_tree(store: Storage, videos: dict[str, VideoInfo]) -> dict[str, dict[str, Any]]:
    """Read a datasource as strictly as its documentation allows; return task -> frame -> predictions.

    Args:
        videos: Path below the input datasource -> what the video is.
    """
    tree = contents(store)
    tasks = json.loads(tree.pop(f"{ROOT}tasks.json"))
    assert tasks
    assert len(tasks) == len(set(tasks))
    frames = {
        f"{path[: path.rindex('.')]}-{index:0{len(str(info.frame_count))}}-{path[path.rindex('.') + 1 :]}": info
        for path, info in videos.items()
        for index in range(info.frame_count)
    }
    found: dict[str, dict[str, Any]] = {}
    for task in tasks:
        assert re.fullmatch(r"[a-zA-Z0-9_+=,.@:-]+", task)
        schema = json.loads(tree.pop(f"{ROOT}{task}/schema.json"))
        assert {"task_type", "categories"} == set(schema)
        check_categories(schema)
        files = {key: tree.pop(key) for key in list(tree) if key.startswith(f"{ROOT}{task}/")}
        assert files
        found[task] = {}
        for key, data in files.items():
            frame = key.removeprefix(f"{ROOT}{task}/").removesuffix(".json")
            assert key.endswith(".json")
            content = json.loads(data, parse_constant=no_constant)
            assert {"file_name", "predictions"} == set(content)
            assert f"{frame}.png" == content["file_name"]
            if "classification" == schema["task_type"]:
                assert 1 == len(content["predictions"])
            for prediction in content["predictions"]:
                check_singleton(prediction, frames[frame], schema)
            found[task][frame] = content["predictions"]
    assert not tree
    return found


def no_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def check_categories(schema: dict[str, Any]) -> None:
    """Ids from 0 on, names that are told apart, keypoints for the kind that has them."""
    assert schema["task_type"] in SINGLETONS
    ids = [category["id"] for category in schema["categories"]]
    assert list(range(len(ids))) == ids
    names = [category["name"] for category in schema["categories"]]
    assert len(names) == len(set(names))
    for category in schema["categories"]:
        more = set(category) - {"id", "name"}
        assert more <= ({"keypoints"} if "keypoint-detection" == schema["task_type"] else set())


# Kind of task -> the keys that the documentation gives its singletons, all of which are written.
SINGLETONS = {
    "classification": {"category_id", "probabilities"},
    "object-detection": {"category_id", "bbox", "score"},
    "keypoint-detection": {"category_id", "keypoints", "score", "bbox"},
    "instance-segmentation": {"category_id", "segmentation", "score", "bbox"},
    "semantic-segmentation": {"category_id", "segmentation", "score"},
}


def check_singleton(prediction: dict[str, Any], info: VideoInfo, schema: dict[str, Any]) -> None:
    """One prediction against every rule that the documentation states."""
    categories = {category["id"]: category for category in schema["categories"]}
    assert SINGLETONS[schema["task_type"]] == set(prediction)
    category = categories[prediction["category_id"]]
    if "score" in prediction:
        assert 0 <= prediction["score"] <= 1
    if "bbox" in prediction:
        check_box(prediction["bbox"], info)
    if "probabilities" in prediction:
        assert len(categories) == len(prediction["probabilities"])
        assert all(0 <= probability <= 1 for probability in prediction["probabilities"])
        assert abs(math.fsum(prediction["probabilities"]) - 1) < 1e-9
    if "keypoints" in prediction:
        keypoints = prediction["keypoints"]
        assert 3 <= len(keypoints) == 3 * len(category["keypoints"])
        for x, y, score in zip(*[iter(keypoints)] * 3, strict=True):
            assert 0 <= x <= info.width
            assert 0 <= y <= info.height
            assert 0 <= score <= 1
    if "segmentation" in prediction:
        mask = mask_of(prediction["segmentation"], info)
        if "bbox" in prediction:
            check_encloses(prediction["bbox"], mask)


def mask_of(segmentation: list[int], info: VideoInfo) -> NDArray[np.bool_]:
    """Decode run lengths by rows over the full frame; there is something in it."""
    assert all(type(count) is int for count in segmentation)
    assert segmentation[0] >= 0
    assert all(count > 0 for count in segmentation[1:])
    assert info.width * info.height == sum(segmentation)
    flat = np.concatenate([np.full(count, number % 2, np.bool_) for number, count in enumerate(segmentation)])
    assert flat.any()
    return flat.reshape(info.height, info.width)


def check_encloses(bbox: list[float], mask: NDArray[np.bool_]) -> None:
    x, y, width, height = bbox
    rows, columns = np.nonzero(mask)
    assert x <= columns.min()
    assert y <= rows.min()
    assert x + width >= columns.max() + 1 - 1e-6
    assert y + height >= rows.max() + 1 - 1e-6


def check_box(bbox: list[float], info: VideoInfo) -> None:
    x, y, width, height = bbox
    assert min(x, y) >= 0
    assert min(width, height) >= 1
    assert x + width <= info.width + 1e-6
    assert y + height <= info.height + 1e-6


def deliver(
    tmp_path: Path, frames: Frames, *, store: Storage | None = None, sink: dict[str, Any] | None = None, **how: Any
) -> tuple[dict[str, dict[str, Any]], Any]:
    """Deliver one video to a task ``players``; return the checked tree and the receipt."""
    store = store or MemoryStorage()
    delivery = make_delivery(tmp_path, frames, **how)
    receipt = LightlySink(store, task_name="players", **(sink or {})).deliver(delivery)
    return check_tree(store, {delivery.video.name: delivery.info}), receipt
