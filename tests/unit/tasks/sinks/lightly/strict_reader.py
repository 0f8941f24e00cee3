"""Delivering a video, and reading the datasource as strictly as its documentation allows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

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
        assert "object-detection" == schema["task_type"]
        ids = [category["id"] for category in schema["categories"]]
        assert list(range(len(ids))) == ids
        files = {key: tree.pop(key) for key in list(tree) if key.startswith(f"{ROOT}{task}/")}
        assert files
        found[task] = {}
        for key, data in files.items():
            frame = key.removeprefix(f"{ROOT}{task}/").removesuffix(".json")
            assert key.endswith(".json")
            content = json.loads(data)
            assert {"file_name", "predictions"} == set(content)
            assert f"{frame}.png" == content["file_name"]
            for prediction in content["predictions"]:
                check_detection(prediction, frames[frame], ids)
            found[task][frame] = content["predictions"]
    assert not tree
    return found


def check_detection(prediction: dict[str, Any], info: VideoInfo, ids: list[int]) -> None:
    assert {"category_id", "bbox", "score"} == set(prediction)
    assert prediction["category_id"] in ids
    assert 0 <= prediction["score"] <= 1
    x, y, width, height = prediction["bbox"]
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
