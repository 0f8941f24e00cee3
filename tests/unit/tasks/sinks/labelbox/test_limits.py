"""Videos that Labelbox does not take, or does not play."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.sinks.labelbox.ndjson import annotate
from tasks.sinks.labelbox.sink import LabelboxFileSink
from tasks.sinks.labelbox.style import Style
from tests.contracts.deliveries import make_delivery, model_predictions, video_info
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.unit.tasks.sinks.labelbox.strict_reader import seen


@pytest.mark.parametrize(
    ("frames", "size", "message"),
    [(20_001, 1000, "20001 frames, Labelbox takes 20000"), (100, 1_024_000_001, "1024 MB, Labelbox takes 1024")],
)
def test_videos_over_the_limits_are_refused(tmp_path: Path, frames: int, size: int, message: str) -> None:
    """Before anything is written; the hint says what to do."""
    store, delivery = MemoryStorage(), make_delivery(tmp_path, [[seen()]], info=video_info(frame_count=frames))

    with pytest.raises(DeliveryFailed, match=message) as refused:
        LabelboxFileSink(store, Style()).deliver(replace(delivery, video=replace(delivery.video, size=size)))

    assert "cut it" in refused.value.hint
    assert {} == contents(store)


def test_videos_at_the_limits_are_taken(tmp_path: Path) -> None:
    """Twenty thousand frames and a gigabyte."""
    delivery = make_delivery(tmp_path, [[seen()]], info=video_info(frame_count=20_000))

    assert 1 == len(annotate(replace(delivery, video=replace(delivery.video, size=1_024_000_000)), Style()).lines)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"container": "avi"}, "this is avi with h264"),
        ({"codec": "vp9"}, "this is mp4 with vp9"),
        ({"duration_s": 5.0}, "frame rate times duration"),
    ],
)
def test_what_the_editor_may_not_play_is_told(tmp_path: Path, change: dict[str, Any], warning: str) -> None:
    """The receipt says so; the annotations are right all the same."""
    delivery = make_delivery(tmp_path, [[seen()]], info=replace(video_info(), **change))

    (told,) = annotate(delivery, Style()).warnings

    assert warning in told


@pytest.mark.parametrize("task", [TaskType.CLASSIFICATION, TaskType.OBJECT_DETECTION])
def test_results_of_another_picture_are_refused(tmp_path: Path, task: TaskType) -> None:
    """Whatever they say, they do not say it about this video."""
    models = [model_predictions([[]], task=task, size=(500, 500))]

    with pytest.raises(DeliveryFailed, match="images of 500x500 pixels"):
        annotate(make_delivery(tmp_path, [[]], models=models), Style())
