"""Each model has a task that the worker can read, and what cannot be one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.sinks.lightly.sink import LightlySink
from tests.contracts.deliveries import Box, make_delivery, model_predictions
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.sinks import SEEN
from tests.contracts.tree_reader import PLAYER, ROOT, deliver


def test_a_task_without_a_file_is_not_listed(tmp_path: Path) -> None:
    """The worker stops when every prediction of a task is missing."""
    store = MemoryStorage()

    LightlySink(store, task_name="players").deliver(make_delivery(tmp_path, [None]))

    assert {} == contents(store)


def test_the_worker_never_sees_a_task_that_it_cannot_read(tmp_path: Path) -> None:
    """At every moment of a delivery, a listed task has its schema and a file; a file has its schema."""
    store = MemoryStorage()
    moments = []

    def look(key: str) -> None:
        moments.append((key, set(contents(store))))

    store.before_write = look
    deliver(tmp_path, SEEN, store=store)

    keys = [key for key, _ in moments]
    assert f"{ROOT}players/schema.json" == keys[0]
    assert f"{ROOT}tasks.json" == keys[-1]
    assert 6 == len(keys)


def test_embeddings_are_refused(tmp_path: Path) -> None:
    """Nothing is written, and the hint says where they can go."""
    store, model = MemoryStorage(), model_predictions([[PLAYER]], model="clip", task=TaskType.EMBEDDING)

    with pytest.raises(DeliveryFailed, match=TaskType.EMBEDDING) as refused:
        LightlySink(store, task_name="players").deliver(make_delivery(tmp_path, [[PLAYER]], models=[model]))

    assert "results route" in refused.value.hint
    assert {} == contents(store)


def test_clip_beside_a_detector_does_not_stop_the_detector(tmp_path: Path) -> None:
    """The detector's task is written under the plain name, and the receipt tells what was left out."""
    models = [
        model_predictions([None], model="clip", task=TaskType.NONE),
        model_predictions([[PLAYER]]),
    ]

    tree, receipt = deliver(tmp_path, [[PLAYER]], models=models)

    assert ["players"] == list(tree)
    assert "clip" in receipt.warnings[0]


def test_each_further_model_has_a_task_of_its_own(tmp_path: Path) -> None:
    """Faces of gaze are object detections; the task's name tells whose they are."""
    face = Box(50, 60, 20, 20, "face", 0.9)
    models = [
        model_predictions([[PLAYER], []]),
        model_predictions([[face], None], model="gaze", task=TaskType.GAZE),
    ]

    tree, receipt = deliver(tmp_path, [[PLAYER], []], models=models)

    assert {"cup/final-000-mp4", "cup/final-006-mp4"} == set(tree["players"])
    assert {"cup/final-000-mp4": [{"category_id": 0, "bbox": [40, 50, 20, 20], "score": 0.9}]} == tree["players-gaze"]
    assert 2 == len(receipt.outputs)
    assert (3, 2) == (receipt.counts["frames"], receipt.counts["objects"])
