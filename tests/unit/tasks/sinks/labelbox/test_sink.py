"""The NDJSON that Labelbox would be given."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.sinks.base import Sink
from tasks.sinks.labelbox import ndjson
from tasks.sinks.labelbox.sink import LabelboxFileSink
from tasks.sinks.labelbox.style import Style
from tasks.storage.base import Storage
from tests.contracts.deliveries import Box, Frames, make_delivery, model_predictions, video_info
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.sinks import SinkContract
from tests.unit.tasks.sinks.labelbox.strict_reader import deliver, seen, spans


class TestContract(SinkContract):
    """Keeps every sink's promises."""

    def make_sink(self, store: Storage) -> Sink:
        return LabelboxFileSink(store, Style())


def test_a_line_is_the_documented_one(tmp_path: Path) -> None:
    """Names, order and numbers as in Labelbox' own example; frames count from 1."""
    store = MemoryStorage()
    delivery = make_delivery(tmp_path, [[seen(), Box(9.5, 8.25, 5, 4.5, "ball", track=2)], [seen(x=380)]], name="v.mp4")

    LabelboxFileSink(store, Style()).deliver(delivery)

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
        "annotations": 1,
        "objects": 1,
        "segments": 1,
        "keyframes": 2,
        "detections": 3,
        "outside": 1,
        "below_confidence": 1,
    } == receipt.counts
    assert ("mem://box/cup/final.mp4.ndjson",) == receipt.outputs


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
    assert "1 of 3 annotations 'player' were left out" in warning


def test_the_limit_is_the_sdks() -> None:
    """Five thousand of one feature on one data row are taken, one more is not."""
    assert 5000 == ndjson.FEATURE_LIMIT


def test_a_video_without_predictions_gives_an_empty_file(tmp_path: Path) -> None:
    """Delivered, with nothing to upload."""
    lines, receipt = deliver(tmp_path, [[], None, []])

    assert [] == lines
    assert {"annotations": 0, "objects": 0, "segments": 0, "keyframes": 0, "detections": 0} == receipt.counts


@pytest.mark.parametrize("task", [TaskType.INSTANCE_SEGMENTATION, TaskType.KEYPOINT_DETECTION, TaskType.GAZE])
def test_whatever_has_a_box_is_written_as_one(tmp_path: Path, task: TaskType) -> None:
    """Masks, skeletons and faces come with a box each."""
    models = [model_predictions([[seen(name="face")]], task=task)]

    ((line,), _) = deliver(tmp_path, [[seen()]], models=models)

    assert "face" == line["name"]


def test_embeddings_alone_are_refused(tmp_path: Path) -> None:
    """Nothing is written, and the hint says what would make annotations of them."""
    store, models = MemoryStorage(), [model_predictions([[]], model="clip", task=TaskType.EMBEDDING)]

    with pytest.raises(DeliveryFailed, match="predicts embeddings") as refused:
        LabelboxFileSink(store, Style()).deliver(make_delivery(tmp_path, [[]], models=models))

    assert "prompts" in refused.value.hint
    assert {} == contents(store)


def test_embeddings_beside_another_model_are_left_out(tmp_path: Path) -> None:
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
        LabelboxFileSink(MemoryStorage(), Style()).deliver(delivery)


def test_the_sdk_takes_the_lines(tmp_path: Path) -> None:
    """Labelbox' own client validates them, up to the limit of annotations and not beyond."""
    from labelbox.schema.annotation_import import MEAPredictionImport

    lines, _ = deliver(tmp_path, [[seen(n) for n in range(5001)]])

    assert 5000 == len(lines)
    MEAPredictionImport._validate_data_rows(lines)
    with pytest.raises(ValueError, match="5001 annotations"):
        MEAPredictionImport._validate_data_rows([*lines, lines[0]])
