"""The NDJSON that Labelbox would be given."""

from __future__ import annotations

import json
import math
import uuid
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.sinks.base import Delivery, Sink
from tasks.sinks.labelbox import ndjson
from tasks.sinks.labelbox.global_key import global_key
from tasks.sinks.labelbox.sink import LabelboxFileSink
from tasks.storage.base import Storage
from tests.contracts.deliveries import Box, Frames, make_delivery, model_predictions, video_info
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.sinks import SinkContract


class TestContract(SinkContract):
    """Keeps every sink's promises."""

    def make_sink(self, store: Storage) -> Sink:
        return LabelboxFileSink(store)


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
    receipt = LabelboxFileSink(store, **(sink or {})).deliver(delivery)
    (key,) = contents(store)
    assert f"{delivery.video.name}.ndjson" == key
    return check_lines(store.read(key), delivery), receipt


def spans(line: dict[str, Any]) -> list[list[int]]:
    """The frames of each segment's keyframes."""
    return [[keyframe["frame"] for keyframe in segment["keyframes"]] for segment in line["segments"]]


def seen(track: int = 1, x: float = 320, **more: Any) -> Box:
    return Box(x, 180, 40, 80, track=track)._replace(**more)


def test_a_line_is_the_documented_one(tmp_path: Path) -> None:
    """Names, order and numbers as in Labelbox' own example; frames count from 1."""
    store = MemoryStorage()
    delivery = make_delivery(tmp_path, [[seen(), Box(9.5, 8.25, 5, 4.5, "ball", track=2)], [seen(x=380)]], name="v.mp4")

    LabelboxFileSink(store).deliver(delivery)

    player, ball = store.read("v.mp4.ndjson").splitlines()
    assert b'"name":"ball","dataRow":{"globalKey":"s3://matches/2026/v.mp4"},"segments":[{"keyframes":[' in ball
    assert ball.endswith(b'[{"frame":1,"bbox":{"top":6.0,"left":7.0,"height":4.5,"width":5.0}}]}]}')
    assert player.endswith(
        b'"segments":[{"keyframes":['
        b'{"frame":1,"bbox":{"top":140.0,"left":300.0,"height":80.0,"width":40.0}},'
        b'{"frame":7,"bbox":{"top":140.0,"left":360.0,"height":80.0,"width":40.0}}]}]}'
    )


def test_receipts_count_what_was_written(tmp_path: Path) -> None:
    """Objects, segments, keyframes, and what was left out and why."""
    frames = [[seen(), seen(2, confidence=0.1), Box(-50, -50, 9, 9, track=3)], [seen(x=321)], [seen(x=322)]]

    _, receipt = deliver(tmp_path, frames, sink={"min_confidence": 0.3})

    assert {
        "tracks": 1,
        "segments": 1,
        "keyframes": 2,
        "detections": 3,
        "outside": 1,
        "below_confidence": 1,
    } == receipt.counts
    assert ("mem://box/cup/final.mp4.ndjson",) == receipt.outputs


def test_one_object_is_one_line(tmp_path: Path) -> None:
    """Two people of one class stay two, ordered by when they are first seen."""
    lines, _ = deliver(tmp_path, [[seen(7)], [seen(3), seen(7)], [seen(3)]])

    assert [[[1, 7]], [[7, 13]]] == [spans(line) for line in lines]


def test_detections_without_a_track_are_objects_of_one_frame(tmp_path: Path) -> None:
    """Nobody said that they are the same thing."""
    lines, _ = deliver(tmp_path, [[seen(-1), seen(-1, x=100)], [seen(-1)]])

    assert [[[1]], [[1]], [[7]]] == [spans(line) for line in lines]


def test_a_track_that_claims_two_boxes_in_a_frame_keeps_the_surer(tmp_path: Path) -> None:
    """A frame has one keyframe of an object."""
    ((line,), _) = deliver(tmp_path, [[seen(x=100, confidence=0.3), seen(x=200, confidence=0.9)]])

    assert [180.0] == [k["bbox"]["left"] for s in line["segments"] for k in s["keyframes"]]


def test_an_object_has_the_class_it_was_surest_seen_as(tmp_path: Path) -> None:
    """And the receipt says that it changed."""
    frames = [[seen(name="ball", confidence=0.9)], [seen(confidence=0.5)], [seen(confidence=0.5)]]

    ((line,), receipt) = deliver(tmp_path, frames)

    assert "player" == line["name"]
    assert "1 objects change their class" in receipt.warnings[0]


def test_features_can_have_other_names_than_classes(tmp_path: Path) -> None:
    """A class that is not mapped keeps its name."""
    lines, _ = deliver(tmp_path, [[seen(), seen(2, name="ball")]], sink={"classes": {"player": "Spieler (rot)"}})

    assert ["Spieler (rot)", "ball"] == sorted(line["name"] for line in lines)


def test_a_long_absence_ends_the_segment(tmp_path: Path) -> None:
    """Where the object was last seen; it is the same object when it comes back."""
    away: Frames = [[seen()], [seen()], *[[]] * 6, [seen()]]

    ((line,), _) = deliver(tmp_path, away, sink={"max_gap": timedelta(seconds=1)})

    assert [[1, 7], [49]] == spans(line)


@pytest.mark.parametrize("between", [[[], [], []], [None, [], None], [None] * 9])
def test_a_short_absence_and_frames_nobody_looked_at_are_bridged(tmp_path: Path, between: list[Any]) -> None:
    """One segment from first to last sight; Labelbox interpolates between."""
    ((line,), _) = deliver(tmp_path, [[seen()], *between, [seen()]], sink={"max_gap": timedelta(seconds=1)})

    assert [[1, 6 * len(between) + 7]] == spans(line)


def test_a_detection_under_the_threshold_is_an_absence(tmp_path: Path) -> None:
    """Doubtful frames in the middle do not end the object, at its end they are not part of it."""
    frames = [[seen()], [seen(confidence=0.1)], [seen()], [seen(confidence=0.1)]]

    ((line,), _) = deliver(tmp_path, frames, sink={"min_confidence": 0.3})

    assert [[1, 13]] == spans(line)


def test_without_times_the_frame_rate_tells_them(tmp_path: Path) -> None:
    """A service may leave times out."""
    delivery = make_delivery(tmp_path, [[seen()], *[[]] * 6, [seen()]])
    blind = replace(delivery, predictions=replace(delivery.predictions, time_s=np.full(8, np.nan)))
    for one in (delivery, blind):
        store = MemoryStorage()
        LabelboxFileSink(store).deliver(one)

        assert [[1], [43]] == spans(check_lines(store.read("cup/final.mp4.ndjson"), one)[0])


@pytest.mark.parametrize(
    ("size", "rotation", "inferred", "expected"),
    [
        ((640, 360), 0, (640, 360), (0, 0, 20, 40)),
        ((1280, 720), 0, (640, 360), (0, 0, 40, 80)),
        ((640, 360), 180, (640, 360), (0, 0, 20, 40)),
        ((640, 360), 90, (360, 640), (0, 0, 20, 40)),  # the service turned it upright, as Labelbox does
        ((640, 360), 90, (640, 360), (0, 620, 40, 20)),  # it did not
        ((640, 360), 270, (640, 360), (320, 0, 40, 20)),
    ],
)
def test_boxes_are_those_of_the_upright_picture(
    tmp_path: Path,
    size: tuple[int, int],
    rotation: int,
    inferred: tuple[int, int],
    expected: tuple[float, float, float, float],
) -> None:
    """Labelbox shows a video as a player does; left, top, width, height of a box in the corner."""
    frames = [[Box(10, 20, 20, 40)]]
    models = [model_predictions(frames, size=inferred)]

    ((line,), _) = deliver(tmp_path, frames, models=models, info=video_info(size=size, rotation=rotation))

    box = line["segments"][0]["keyframes"][0]["bbox"]
    assert expected == tuple(box[side] for side in ("left", "top", "width", "height"))


def test_uuids_name_the_object_for_good(tmp_path: Path) -> None:
    """The same job gives the same ids; another job, model or track others."""
    frames: Frames = [[seen(1), seen(2)]]
    models = [model_predictions(frames), model_predictions(frames, model="other")]
    one, again, other_job = (
        {line["uuid"] for line in deliver(tmp_path, frames, models=models, every=every)[0]} for every in (6, 6, 5)
    )

    assert 4 == len(one)
    assert one == again
    assert not one & other_job


def test_too_many_objects_of_a_feature_are_cut_to_the_longest_and_surest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labelbox refuses the whole import otherwise; the receipt says what is missing."""
    monkeypatch.setattr(ndjson, "FEATURE_LIMIT", 2)
    frames = [
        [seen(1, confidence=0.2), seen(2, confidence=0.4), seen(3, confidence=0.9), seen(4, name="ball")],
        [seen(1, confidence=0.2)],
    ]

    lines, receipt = deliver(tmp_path, frames)

    assert ["ball", "player", "player"] == sorted(line["name"] for line in lines)
    assert [[[1, 7]], [[1]]] == [spans(line) for line in lines if line["name"] == "player"]
    (warning,) = receipt.warnings
    assert "1 of 3 objects 'player' were left out" in warning


def test_the_limit_is_the_sdks() -> None:
    """Five thousand of one feature on one data row are taken, one more is not."""
    assert 5000 == ndjson.FEATURE_LIMIT


def test_a_video_without_predictions_gives_an_empty_file(tmp_path: Path) -> None:
    """Delivered, with nothing to upload."""
    lines, receipt = deliver(tmp_path, [[], None, []])

    assert [] == lines
    assert {"tracks": 0, "segments": 0, "keyframes": 0, "detections": 0} == receipt.counts


@pytest.mark.parametrize("task", [TaskType.INSTANCE_SEGMENTATION, TaskType.KEYPOINT_DETECTION, TaskType.GAZE])
def test_whatever_has_a_box_is_written_as_one(tmp_path: Path, task: TaskType) -> None:
    """Masks, skeletons and faces come with a box each."""
    models = [model_predictions([[seen(name="face")]], task=task)]

    ((line,), _) = deliver(tmp_path, [[seen()]], models=models)

    assert "face" == line["name"]


@pytest.mark.parametrize("task", [TaskType.EMBEDDING, TaskType.CLASSIFICATION, TaskType.SEMANTIC_SEGMENTATION])
def test_what_has_no_box_is_refused(tmp_path: Path, task: TaskType) -> None:
    """Nothing is written."""
    store, models = MemoryStorage(), [model_predictions([[]], task=task)]

    with pytest.raises(DeliveryFailed, match=task):
        LabelboxFileSink(store).deliver(make_delivery(tmp_path, [[]], models=models))

    assert {} == contents(store)


def test_a_model_without_boxes_beside_one_with_is_left_out(tmp_path: Path) -> None:
    """The receipt says so."""
    models = [model_predictions([[seen()]]), model_predictions([[]], model="clip", task=TaskType.EMBEDDING)]

    lines, receipt = deliver(tmp_path, [[seen()]], models=models)

    assert 1 == len(lines)
    assert "clip" in receipt.warnings[0]


@pytest.mark.parametrize(
    ("frames", "how"),
    [
        ([[seen(x=math.nan)]], {}),
        ([[seen()], [seen()]], {"info": video_info(frame_count=6)}),
        ([[seen()]], {"models": [model_predictions([[seen()]], size=(500, 500))]}),
        ([[seen()], [seen()]], {"every": 0}),
        ([[seen()], [seen()]], {"every": -6}),
    ],
)
def test_results_that_cannot_be_this_videos_are_refused(tmp_path: Path, frames: Frames, how: dict[str, Any]) -> None:
    """No number, a frame beyond the end, another shape of image, frames out of order."""
    every = how.pop("every", None)
    delivery = make_delivery(tmp_path, frames, **how)
    if every is not None:
        index = np.arange(2, dtype=np.int64) * every + 50
        delivery = replace(delivery, predictions=replace(delivery.predictions, frame_index=index))

    with pytest.raises(DeliveryFailed):
        LabelboxFileSink(MemoryStorage()).deliver(delivery)


def boxes_between(line: dict[str, Any]) -> dict[int, tuple[float, ...]]:
    """What Labelbox would show at every frame: straight lines between a segment's keyframes."""
    shown: dict[int, tuple[float, ...]] = {}
    for segment in line["segments"]:
        keyframes = [(k["frame"], k["bbox"]) for k in segment["keyframes"]]
        edges = [(b["left"], b["top"], b["left"] + b["width"], b["top"] + b["height"]) for _, b in keyframes]
        frames = [frame for frame, _ in keyframes]
        for frame in range(frames[0], frames[-1] + 1):
            shown[frame] = tuple(float(np.interp(frame, frames, column)) for column in zip(*edges, strict=True))
    return shown


positions = st.floats(-200, 900, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.lists(
                st.builds(
                    Box,
                    *[positions] * 2,
                    *[st.floats(0, 700, width=32)] * 2,
                    st.sampled_from(["player", "ball"]),
                    st.floats(0, 1, width=32),
                    st.integers(-1, 2),
                ),
                max_size=3,
                unique_by=lambda box: box.track if box.track >= 0 else object(),
            ),
        ),
        max_size=12,
    ),
    st.sampled_from([0.0, 0.5, 2.0, 30.0]),
    st.sampled_from([0.1, 0.5, 60.0]),
)
def test_labelbox_shows_every_detection_within_the_tolerance(
    tmp_path_factory: pytest.TempPathFactory, frames: Frames, tolerance: float, max_gap_s: float
) -> None:
    """Interpolated boxes are where the model saw them, and none is shown before or after the object."""
    store = MemoryStorage()
    delivery = make_delivery(tmp_path_factory.getbasetemp(), frames)
    sink = LabelboxFileSink(store, keyframe_tolerance=tolerance, max_gap=timedelta(seconds=max_gap_s))

    receipt = sink.deliver(delivery)

    lines = check_lines(store.read("cup/final.mp4.ndjson"), delivery)
    expected = sightings(frames, delivery)
    assert set(expected) == {line["uuid"] for line in lines}
    assert receipt.counts["tracks"] == len(lines)
    for line in lines:
        shown, ours = boxes_between(line), expected[line["uuid"]]
        assert (min(ours), max(ours)) == (min(shown), max(shown))
        for frame, (left, top, right, bottom) in ours.items():
            # Boxes are rounded to a tenth of a pixel, and slivers widened to a pixel.
            widened = 1.0 if min(right - left, bottom - top) < 1 else 0.0
            assert np.abs(np.subtract((left, top, right, bottom), shown[frame])).max() <= tolerance + widened + 0.0501


def sightings(frames: Frames, delivery: Delivery) -> dict[str, dict[int, tuple[float, float, float, float]]]:
    """Each object's boxes in the picture by Labelbox' frame number, by the object's uuid."""
    found: dict[str, dict[int, tuple[float, float, float, float]]] = {}
    row = -1
    for sample, boxes in enumerate(frames):
        for box in boxes or ():
            row += 1
            edges = [box.x - box.width / 2, box.y - box.height / 2, box.x + box.width / 2, box.y + box.height / 2]
            if edges[0] >= 640 or edges[1] >= 360 or edges[2] <= 0 or edges[3] <= 0:
                continue
            number = box.track if box.track >= 0 else -1 - row
            name = uuid.uuid5(ndjson._NAMESPACE, f"{delivery.job_key}/football/{number}")
            left, top, right, bottom = np.clip(edges, 0, [640, 360, 640, 360]).tolist()
            found.setdefault(str(name), {})[sample * 6 + 1] = (left, top, right, bottom)
    return found


def test_the_sdk_takes_the_lines(tmp_path: Path) -> None:
    """Labelbox' own client validates them, up to the limit of annotations and not beyond."""
    from labelbox.schema.annotation_import import MEAPredictionImport

    lines, _ = deliver(tmp_path, [[seen(n) for n in range(5001)]])

    assert 5000 == len(lines)
    MEAPredictionImport._validate_data_rows(lines)
    with pytest.raises(ValueError, match="5001 annotations"):
        MEAPredictionImport._validate_data_rows([*lines, lines[0]])
