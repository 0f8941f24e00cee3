"""Delivering a video, and reading its NDJSON as strictly as Labelbox does and more."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from tasks.domain.predictions import TaskType
from tasks.domain.video import VideoInfo
from tasks.predictions.parse import parse_bytes
from tasks.predictions.track import assign_tracks
from tasks.sinks.base import Delivery
from tasks.sinks.labelbox.features import Feature, FeatureKind
from tasks.sinks.labelbox.global_key import global_key
from tasks.sinks.labelbox.ndjson import annotate
from tasks.sinks.labelbox.sink import LabelboxFileSink
from tasks.sinks.labelbox.style import Style
from tests.contracts.deliveries import Box, Frames, make_delivery, video_info
from tests.contracts.memory_storage import MemoryStorage, contents


def check_lines(text: bytes, delivery: Delivery) -> list[dict[str, Any]]:
    """Read NDJSON as strictly as Labelbox does and more; return its lines."""
    assert not text or text.endswith(b"\n")
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert str(uuid.UUID(line["uuid"])) == line["uuid"]
        assert {"globalKey": global_key(delivery.video.uri)} == line["dataRow"]
        payload = set(line) - {"uuid", "name", "dataRow"}
        if payload == {"segments"}:
            check_segments(line["segments"], delivery.info)
        else:
            assert {"answer"} == payload or (payload == {"answer", "confidence"} and isinstance(line["answer"], str))
            check_answer(line["answer"], delivery.info.frame_count)
    assert len(lines) == len({line["uuid"] for line in lines})
    assert max(Counter(line["name"] for line in lines).values(), default=0) <= 5000
    return lines


def check_segments(segments: list[dict[str, Any]], info: VideoInfo) -> None:
    """Keyframes in order over all segments, so that none overlap; every place in the picture."""
    width, height = info.display_size
    assert segments
    last = 0
    for segment in segments:
        assert {"keyframes"} == set(segment)
        assert segment["keyframes"]
        for keyframe in segment["keyframes"]:
            (kind,) = set(keyframe) - {"frame", "classifications"}
            assert last < keyframe["frame"] <= info.frame_count
            last = keyframe["frame"]
            match kind:
                case "bbox":
                    check_box(keyframe["bbox"], width, height)
                case "point":
                    check_points([keyframe["point"]], width, height)
                case _:
                    assert kind == "line"
                    assert len(keyframe["line"]) >= 2
                    assert len({(corner["x"], corner["y"]) for corner in keyframe["line"]}) > 1
                    check_points(keyframe["line"], width, height)
            for below in keyframe.get("classifications", ()):
                assert {"name", "answer"} == set(below)
                check_answer(below["answer"], 0)


def check_points(points: list[dict[str, float]], width: int, height: int) -> None:
    for point in points:
        assert {"x", "y"} == set(point)
        assert 0 <= point["x"] <= width
        assert 0 <= point["y"] <= height
        assert all(round(value, 1) == value for value in point.values())


def check_answer(answer: Any, frame_count: int) -> None:
    """An answer, several, or a text; no two ranges of one option overlap, none leaves the video."""
    if isinstance(answer, str):
        return
    answers = answer if isinstance(answer, list) else [answer]
    assert answers
    ranges: dict[str, list[tuple[int, int]]] = {}
    for one in answers:
        name = "value" if "value" in one else "name"
        assert {name} <= set(one) <= {name, "confidence", "frames", "classifications"}
        assert 0 <= one.get("confidence", 1) <= 1
        assert "frames" not in one or one["frames"]
        ranges.setdefault(one[name], []).extend((span["start"], span["end"]) for span in one.get("frames", ()))
        for below in one.get("classifications", ()):
            assert {"name", "answer"} == set(below)
            assert "confidence" in one
            check_answer(below["answer"], 0)
    for spans in ranges.values():
        flat = [frame for span in sorted(spans) for frame in span]
        assert sorted(flat) == flat
        assert all(1 <= frame <= frame_count for frame in flat)
        assert all(end < start for (_, end), (start, _) in pairwise(sorted(spans)))


def check_features(lines: list[dict[str, Any]], features: Sequence[Feature]) -> None:
    """An ontology of these features would take the lines."""
    known = {feature.name: feature for feature in features}
    assert len(known) == len(features)
    for line in lines:
        feature = known[line["name"]]
        if "segments" not in line:
            check_question(line["answer"], feature)
            assert feature.by_frames == any(
                "frames" in one for one in (line["answer"] if isinstance(line["answer"], list) else [line["answer"]])
            )
            continue
        for keyframe in (keyframe for segment in line["segments"] for keyframe in segment["keyframes"]):
            (place,) = set(keyframe) - {"frame", "classifications"}
            assert {"bbox": "rectangle", "point": "point", "line": "line"}[place] == feature.kind
            below = {one.name: one for one in feature.classifications}
            for one in keyframe.get("classifications", ()):
                check_question(one["answer"], below[one["name"]])


def check_question(answer: Any, feature: Feature) -> None:
    if feature.kind is FeatureKind.TEXT:
        assert isinstance(answer, str) or all("value" in one for one in answer)
        return
    assert isinstance(answer, list) == (feature.kind is FeatureKind.CHECKLIST)
    options = {option.name: option for option in feature.options}
    for one in answer if isinstance(answer, list) else [answer]:
        below = {question.name: question for question in options[one["name"]].classifications}
        for question in one.get("classifications", ()):
            check_question(question["answer"], below[question["name"]])


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


def inferred(
    folder: Path,
    results: dict[str, Any],
    *,
    tasks: dict[str, TaskType] | None = None,
    classes: dict[str, tuple[str, ...]] | None = None,
    info: VideoInfo | None = None,
) -> Delivery:
    """A delivery of what a service's JSON says, parsed and tracked as a run does it."""
    info = info or video_info()
    predictions = parse_bytes(json.dumps(results).encode(), tasks=tasks, video_fps=float(info.fps))
    delivery = make_delivery(folder, [[]], info=info, model_classes=classes or {})
    return replace(delivery, predictions=assign_tracks(predictions))


def annotated(delivery: Delivery, style: Style | None = None) -> dict[str, list[dict[str, Any]]]:
    """Checked lines of a delivery, by name, without what all of them have; an ontology of their own takes them."""
    made = annotate(delivery, style or Style())
    lines = check_lines(b"".join(msgspec.json.encode(line) + b"\n" for line in made.lines), delivery)
    check_features(lines, made.features)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        payload = {key: value for key, value in line.items() if key not in ("uuid", "name", "dataRow")}
        by_name.setdefault(line["name"], []).append(payload)
    return by_name


def spans_of(*pairs: tuple[int, int]) -> list[dict[str, int]]:
    """Ranges of frames, as a line has them."""
    return [{"start": start, "end": end} for start, end in pairs]
