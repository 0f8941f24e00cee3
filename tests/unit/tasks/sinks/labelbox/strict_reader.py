"""Delivering a video, and reading its NDJSON as strictly as Labelbox does and more."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from tasks.sinks.base import Delivery
from tasks.sinks.labelbox.global_key import global_key
from tasks.sinks.labelbox.sink import LabelboxFileSink
from tasks.sinks.labelbox.style import Style
from tests.contracts.deliveries import Box, Frames, make_delivery
from tests.contracts.memory_storage import MemoryStorage, contents


def check_lines(text: bytes, delivery: Delivery) -> list[dict[str, Any]]:
    """Read NDJSON as strictly as Labelbox does and more; return its lines."""
    assert not text or text.endswith(b"\n")
    lines = [json.loads(line) for line in text.splitlines()]
    width, height = delivery.info.display_size
    for line in lines:
        assert {"uuid", "name", "dataRow", "segments"} == set(line)
        assert str(uuid.UUID(line["uuid"])) == line["uuid"]
        assert {"globalKey": global_key(delivery.video.uri)} == line["dataRow"]
        assert line["segments"]
        last = 0
        for segment in line["segments"]:
            assert {"keyframes"} == set(segment)
            assert segment["keyframes"]
            for keyframe in segment["keyframes"]:
                assert {"frame", "bbox"} == set(keyframe)
                assert last < keyframe["frame"] <= delivery.info.frame_count
                last = keyframe["frame"]
                check_box(keyframe["bbox"], width, height)
    assert len(lines) == len({line["uuid"] for line in lines})
    assert max(Counter(line["name"] for line in lines).values(), default=0) <= 5000
    return lines


def check_box(box: dict[str, float], width: int, height: int) -> None:
    assert {"top", "left", "height", "width"} == set(box)
    assert min(box["top"], box["left"]) >= 0
    assert min(box["height"], box["width"]) >= 1
    assert box["left"] + box["width"] <= width + 1e-6
    assert box["top"] + box["height"] <= height + 1e-6
    assert all(round(value, 1) == value for value in box.values())


def deliver(tmp_path: Path, frames: Frames, *, sink: dict[str, Any] | None = None, **how: Any) -> Any:
    """Deliver one video; return the checked lines and the receipt."""
    store, delivery = MemoryStorage(), make_delivery(tmp_path, frames, **how)
    receipt = LabelboxFileSink(store, Style(**(sink or {}))).deliver(delivery)
    (key,) = contents(store)
    assert f"{delivery.video.name}.ndjson" == key
    return check_lines(store.read(key), delivery), receipt


def spans(line: dict[str, Any]) -> list[list[int]]:
    """The frames of each segment's keyframes."""
    return [[keyframe["frame"] for keyframe in segment["keyframes"]] for segment in line["segments"]]


def seen(track: int = 1, x: float = 320, **more: Any) -> Box:
    return Box(x, 180, 40, 80, track=track)._replace(**more)
