"""Trees in every kind of store: all kinds of task, many writers at once, stores that refuse."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.domain.errors import AccessDenied, DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.sinks.lightly.names import TASKS
from tasks.sinks.lightly.sink import LightlySink
from tasks.storage.base import Storage
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.tree_reader import ROOT, check_tree
from tests.unit.tasks.sinks.lightly.recorded import (
    INFO,
    Shape,
    delivery_of,
    found,
    keypoint,
    label_map,
    labels,
    objects,
    outline,
    results,
)
from tests.unit.tasks.sinks.lightly.stores import STORES, Opener, opener

# Kind of task -> the frames of a video.
KINDS: dict[str, list[Shape | None]] = {
    "object-detection": [objects(found(320, 180, 40, 80), found(9.5, 8.25, 5, 4.5, "ball")), objects(), None],
    "instance-segmentation": [
        objects(found(25, 20, 10, 10, points=outline((10, 10), (30, 10), (10, 30)))),
        objects(found(6, 8, 2, 2, rle={"size": [360, 640], "counts": [5, 3, 230392]})),
    ],
    "keypoint-detection": [objects(found(100, 100, 20, 40, keypoints=[keypoint(98, 97, 1, "eye")])), objects()],
    "classification": [labels("sunny", sunny=0.7, rainy=0.3), None, labels("rainy", sunny=0.2, rainy=0.8)],
    "semantic-segmentation": [label_map(np.eye(360, 640, dtype=np.uint8), {0: "background", 1: "line"})],
}


@pytest.fixture(params=STORES)
def open_datasource(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    return opener(request.param, request, tmp_path)


def test_all_kinds_of_task_stand_side_by_side(open_datasource: Opener, tmp_path: Path) -> None:
    """Two videos in each of five tasks; delivered twice, they are the same tree byte for byte."""
    names = ("cup/final.mp4", "été/1+1 = 100%25 #?&'🎥.MOV")
    for _ in range(2):
        for kind, frames in KINDS.items():
            for name in names:
                tasks = {"football": TaskType(kind)} if kind in {str(task) for task in TaskType} else None
                delivery = delivery_of(tmp_path, results(*frames), name=name, tasks=tasks)
                LightlySink(open_datasource(), task_name=kind).deliver(delivery)
        tree = contents(open_datasource())

    store = MemoryStorage()
    for key, data in tree.items():
        store.write(key, data)
    found_tasks = check_tree(store, dict.fromkeys(names, INFO))
    assert list(KINDS) == list(found_tasks)
    inferred = {kind: 2 * sum(frame is not None for frame in frames) for kind, frames in KINDS.items()}
    assert inferred == {task: len(frames) for task, frames in found_tasks.items()}
    assert set(KINDS) == {json.loads(tree[f"{ROOT}{task}/schema.json"])["task_type"] for task in found_tasks}
    check_by_labelformat(tree, tmp_path)


def check_by_labelformat(tree: dict[str, bytes], folder: Path) -> None:
    """Read the object detection task with Lightly's own reader, which wants a picture for each frame."""
    from labelformat.formats.lightly import LightlyObjectDetectionInput
    from PIL import Image

    below = f"{ROOT}object-detection/"
    for key, data in tree.items():
        if key.startswith(below):
            target = folder / "task" / key.removeprefix(below)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            if target.name != "schema.json":
                picture = folder / "pictures" / json.loads(data)["file_name"]
                picture.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (INFO.width, INFO.height)).save(picture)
    reader = LightlyObjectDetectionInput(folder / "task", images_rel_path=str(folder / "pictures"))
    read = {
        label.image.filename: [(o.category.name, o.box.xmin, o.box.ymin, o.box.xmax, o.box.ymax) for o in label.objects]
        for label in reader.get_labels()
    }
    seen = [("player", 300, 140, 340, 220), ("ball", 7, 6, 12, 10.5)]
    assert [seen, []] == [read["cup/final-000-mp4.png"], read["cup/final-006-mp4.png"]]
    assert 4 == len(read)


def test_forty_writers_lose_nothing(open_datasource: Opener, tmp_path: Path) -> None:
    """Forty runs at once, each with a task of its own and a class of its own for a task that all share."""
    frame = objects(found(320, 180, 40, 80))

    def write(number: int) -> None:
        own = delivery_of(folders[number], results(frame), name=f"{number}.mp4")
        LightlySink(open_datasource(), task_name=f"task-{number}").deliver(own)
        more = objects(found(320, 180, 40, 80), found(50, 50, 9, 9, f"class {number}"))
        shared = delivery_of(folders[number], results(more), name=f"{number}.mp4")
        LightlySink(open_datasource(), task_name="shared").deliver(shared)

    folders = [tmp_path / str(number) for number in range(40)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(40) as pool:
        list(pool.map(write, range(40)))

    tree = contents(open_datasource())
    store = MemoryStorage()
    for key, data in tree.items():
        store.write(key, data)
    read = check_tree(store, {f"{number}.mp4": INFO for number in range(40)})
    assert {"shared", *(f"task-{number}" for number in range(40))} == set(read)
    assert 41 == len(json.loads(tree[TASKS]))
    categories = json.loads(tree[f"{ROOT}shared/schema.json"])["categories"]
    assert {"player", *(f"class {number}" for number in range(40))} == {one["name"] for one in categories}
    names = {category["id"]: category["name"] for category in categories}
    for number in range(40):
        assert ["player", f"class {number}"] == [
            names[prediction["category_id"]] for prediction in read["shared"][f"{number}-000-mp4"]
        ]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (TASKS, b"no JSON"),
        (TASKS, b'{"tasks": []}'),
        (f"{ROOT}players/schema.json", b"{"),
        (f"{ROOT}players/schema.json", b'{"task_type": "object-detection"}'),
        (f"{ROOT}players/schema.json", b'{"task_type": "classification", "categories": []}'),
    ],
)
def test_documents_that_are_none_are_told_and_left(
    open_datasource: Opener, tmp_path: Path, key: str, text: bytes
) -> None:
    """In every store, with what to do; no task is listed that was not."""
    store = open_datasource()
    store.write(key, text)

    with pytest.raises(DeliveryFailed) as caught:
        LightlySink(store, task_name="players").deliver(delivery_of(tmp_path, results(objects(found(9, 9, 5, 5)))))

    assert caught.value.hint
    assert text == store.read(key)
    assert (key == TASKS) == (TASKS in contents(store))


class WriteProtected(MemoryStorage):
    """A store that lets its files be read only."""

    def write(self, key: str, data: bytes, **how: Any) -> str:
        raise AccessDenied(f"may not write {key}", hint="s3:PutObject")


def test_a_datasource_that_may_not_be_written_to_is_told(tmp_path: Path) -> None:
    """By the store's own error, with the right that is missing."""
    store: Storage = WriteProtected()

    with pytest.raises(AccessDenied) as caught:
        LightlySink(store, task_name="players").deliver(delivery_of(tmp_path, results(objects())))

    assert caught.value.hint
    assert {} == contents(store)
