"""COCO files become prediction tasks, or are refused whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision

from tasks.domain.errors import DeliveryFailed, InputInvalid, StorageUnavailable
from tasks.lightly_import import Imported, import_coco
from tasks.sinks.lightly.coco import CocoTask
from tasks.storage.local import LocalStorage
from tests.contracts.deliveries import video_info
from tests.contracts.memory_storage import FailingStorage, MemoryStorage, contents
from tests.contracts.tree_reader import ROOT, mask_of

IMAGES = [
    {"id": 7, "file_name": "sub/a.jpg", "width": 100, "height": 50},
    {"id": 9, "file_name": "b.v2.png", "width": 100, "height": 50},
]
CATEGORIES = [{"id": 1, "name": "cat", "supercategory": "animal"}, {"id": 3, "name": "dog"}]


def note(image: int = 7, category: int = 3, **more: Any) -> dict[str, Any]:
    """An annotation with a score, unless ``more`` says otherwise."""
    said = {"id": 1, "image_id": image, "category_id": category, "bbox": [10, 10, 20.5, 5], "score": 0.5, "iscrowd": 0}
    return {key: value for key, value in (said | more).items() if value is not None}


def coco(*annotations: Any, **more: Any) -> dict[str, Any]:
    dataset = {"info": {}, "images": IMAGES, "categories": CATEGORIES, "annotations": list(annotations)}
    return dataset | more


def bring(
    folder: Path,
    content: Any,
    store: Any,
    *,
    task_type: CocoTask = "object-detection",
    label_score: float | None = None,
    task_name: str = "labels",
) -> Imported:
    file = folder / "annotations.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return import_coco(file, store, task_name=task_name, task_type=task_type, label_score=label_score)


def written(store: MemoryStorage, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(store.read(f"{ROOT}labels/{name}"))["predictions"]
    return found


def test_each_image_has_a_file_at_its_path(tmp_path: Path) -> None:
    """Categories are numbered from 0, images without annotations say "found nothing", the task is listed."""
    store = MemoryStorage()

    done = bring(tmp_path, coco(note()), store)

    assert {
        f"{ROOT}labels/schema.json",
        f"{ROOT}labels/sub/a.json",
        f"{ROOT}labels/b.v2.json",
        f"{ROOT}tasks.json",
    } == set(contents(store))
    assert {
        "file_name": "sub/a.jpg",
        "predictions": [{"category_id": 1, "bbox": [10, 10, 20.5, 5], "score": 0.5}],
    } == json.loads(store.read(f"{ROOT}labels/sub/a.json"))
    assert {"file_name": "b.v2.png", "predictions": []} == json.loads(store.read(f"{ROOT}labels/b.v2.json"))
    assert {
        "task_type": "object-detection",
        "categories": [{"id": 0, "name": "cat", "supercategory": "animal"}, {"id": 1, "name": "dog"}],
    } == json.loads(store.read(f"{ROOT}labels/schema.json"))
    assert Imported("labels", f"mem://box/{ROOT}labels/", {"files": 2, "predictions": 1}, {"cat": 0, "dog": 1}) == done


def test_an_import_joins_what_is_there(tmp_path: Path) -> None:
    """Other tasks stay listed, a category keeps its id, files of other images stay."""
    store = MemoryStorage()
    store.write(f"{ROOT}tasks.json", b'["weather"]')
    bring(tmp_path, coco(note()), store)
    more = coco(
        note(1, 5),
        images=[{"id": 1, "file_name": "c.jpg"}],
        categories=[{"id": 5, "name": "bird"}, {"id": 6, "name": "dog"}],
    )

    done = bring(tmp_path, more, store)

    assert ["weather", "labels"] == json.loads(store.read(f"{ROOT}tasks.json"))
    assert {"bird": 2, "dog": 1} == done.categories
    assert [2] == [one["category_id"] for one in written(store, "c.json")]
    assert [1] == [one["category_id"] for one in written(store, "sub/a.json")]


def test_labels_get_the_score_that_is_stated_and_never_one_that_is_not(tmp_path: Path) -> None:
    """A score of 0 would call every label a doubtful prediction."""
    store = MemoryStorage()
    content = coco(note(score=None), note(score=0.25))

    with pytest.raises(InputInvalid, match=r"annotations\[0\] has no score") as caught:
        bring(tmp_path, content, store)
    assert "--label-score" in caught.value.hint
    assert {} == contents(store)

    bring(tmp_path, content, store, label_score=1.0)
    assert [1.0, 0.25] == [one["score"] for one in written(store, "sub/a.json")]


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ([-5, -5, 10, 10], [0, 0, 5, 5]),
        ([95, 45, 10, 10], [95, 45, 5, 5]),
        ([99.9, 49.9, 0.1, 0.1], [99, 49, 1, 1]),
        ([10, 10, 0, 0], [10, 10, 1, 1]),
        ([100, 10, 5, 5], None),
        ([-9, 10, 5, 5], None),
        (None, None),
    ],
)
def test_boxes_are_kept_in_their_image(tmp_path: Path, bbox: list[float] | None, expected: list[float] | None) -> None:
    """At least a pixel wide and high; what lies outside is left out and counted."""
    store = MemoryStorage()

    done = bring(tmp_path, coco(note(bbox=bbox)), store)

    assert ([expected] if expected else []) == [one["bbox"] for one in written(store, "sub/a.json")]
    reason = "outside" if bbox else "without_box"
    assert (0 if expected else 1) == done.counts.get(reason, 0)


def test_boxes_of_images_of_unknown_size_are_taken_as_they_are(tmp_path: Path) -> None:
    """Only their sign can be seen to."""
    store = MemoryStorage()

    bring(tmp_path, coco(note(bbox=[-1, 2, 9999, 8888]), images=[{"id": 7, "file_name": "sub/a.jpg"}]), store)

    assert [0, 2, 9998, 8888] == written(store, "sub/a.json")[0]["bbox"]


def test_masks_become_run_lengths_by_rows(tmp_path: Path) -> None:
    """Polygons in several pieces and COCO's masks, compressed or not; boxes enclose them."""
    store = MemoryStorage()
    mask = np.zeros((50, 100), np.bool_)
    mask[5:8, 90:] = True
    text = supervision.mask_to_rle(mask, compressed=True)
    pieces = [[0, 0, 3, 0, 3, 1, 0, 1], [10, 0, 11, 0, 11, 1, 10, 1]]
    plain = [90 * 50 + 5, *[3, 47] * 10]
    plain[-1] = 42
    notes = [
        note(segmentation=pieces, bbox=[0, 0, 5, 5]),
        note(segmentation={"size": [50, 100], "counts": text}),
        note(segmentation={"size": [50, 100], "counts": plain}, bbox=None),
        note(segmentation=[]),
    ]

    done = bring(tmp_path, coco(*notes), store, task_type="instance-segmentation")

    first, second, third = written(store, "sub/a.json")
    info = video_info(size=(100, 50))
    assert [0, 4, 6, 2, 88, 4, 6, 2] == first["segmentation"][:8]
    assert [0, 0, 12, 5] == first["bbox"]
    assert (mask == mask_of(second["segmentation"], info)).all()
    assert second["segmentation"] == third["segmentation"]
    assert [90, 5, 10, 3] == third["bbox"]
    assert (3, 1) == (done.counts["predictions"], done.counts["without_mask"])


def test_keypoints_keep_their_order_and_their_visibility(tmp_path: Path) -> None:
    """Unlabelled ones are 0, 0, 0; a label's others are as sure as the label, a prediction's have their own score."""
    store = MemoryStorage()
    categories = [
        {"id": 1, "name": "cat", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]},
        {"id": 3, "name": "dog"},
    ]
    notes = [
        note(category=1, keypoints=[5, 6, 2, 0, 0, 0], score=None),
        note(category=1, keypoints=[5, 6, 0.75, -1, 7, 1]),
        note(category=3, keypoints=[1, 2, 2, 3, 4, 2, 5, 6, 1]),
        note(category=3),
    ]

    done = bring(tmp_path, coco(*notes, categories=categories), store, task_type="keypoint-detection", label_score=0.9)

    label, predicted, dog = written(store, "sub/a.json")
    assert [5, 6, 0.9, 0, 0, 0] == label["keypoints"]
    assert [5, 6, 0.75, 0, 7, 1] == predicted["keypoints"]
    assert [1, 2, 0.5, 3, 4, 0.5, 5, 6, 1] == dog["keypoints"]
    assert 1 == done.counts["without_keypoints"]
    schema = json.loads(store.read(f"{ROOT}labels/schema.json"))
    assert [
        {"id": 0, "name": "cat", "skeleton": [[1, 2]], "keypoints": ["nose", "tail"]},
        {"id": 1, "name": "dog", "keypoints": ["0", "1", "2"]},
    ] == schema["categories"]


def images(*names: str) -> list[dict[str, Any]]:
    return [{"id": number, "file_name": name} for number, name in enumerate(names)]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "no COCO dataset"),
        (json.dumps([note()]).encode(), "no COCO dataset"),
        (coco(images={}), "images"),
        (coco(categories=[{"id": 1}]), "name"),
        (coco(images=images("a.jpg", "a.png")), "'a' is there twice"),
        (coco(images=[*IMAGES, IMAGES[0]]), "'7' is there twice"),
        (coco(images=images("../a.jpg")), r"'\.\./a\.jpg' is no path"),
        (coco(images=images("/a.jpg")), "'/a.jpg' is no path"),
        (coco(images=images("a\n.jpg")), "is no path"),
        (coco(images=images("schema.png")), "task's schema"),
        (coco(categories=[*CATEGORIES, {"id": 9, "name": "cat"}]), "'cat' is there twice"),
        (coco(note(image=1)), r"annotations\[0\]: there is no image 1"),
        (coco(note(), note(category=2)), r"annotations\[1\]: there is no category 2"),
        (coco(note(score=1.5)), r"annotations\[0\]: 1.5 is no score"),
        (coco(note(bbox=[1, 2, 3])), r"annotations\[0\]: bbox"),
        (coco(note(bbox=[1, 2, -3, 4])), r"annotations\[0\]: bbox"),
        (coco(note(bbox="all")), "bbox"),
    ],
    ids=repr,
)
def test_what_contradicts_itself_is_refused_before_anything_is_written(
    tmp_path: Path, content: Any, match: str
) -> None:
    """The message names the file and the place in it."""
    store = MemoryStorage()

    with pytest.raises(InputInvalid, match=match) as caught:
        bring(tmp_path, content, store)

    assert "annotations.json" in caught.value.message
    assert {} == contents(store)


@pytest.mark.parametrize(
    ("task_type", "annotation", "match"),
    [
        ("instance-segmentation", note(segmentation=[[1, 2, 3]]), "lists of x, y"),
        ("instance-segmentation", note(segmentation={"size": [50, 100], "counts": "P"}), "no mask"),
        ("instance-segmentation", note(segmentation={"size": [50, 100], "counts": [4000]}), "no mask"),
        ("instance-segmentation", note(segmentation={"size": [5, 5], "counts": [25]}), "no mask"),
        ("instance-segmentation", note(segmentation={"size": [50, 100], "counts": [5001, -1]}), "no mask"),
        ("keypoint-detection", note(keypoints=[1, 2]), "keypoints"),
        ("keypoint-detection", note(keypoints=[1, 2, 2] * 3), "of 2 points"),
    ],
)
def test_masks_and_keypoints_are_looked_at_first_too(
    tmp_path: Path, task_type: CocoTask, annotation: dict[str, Any], match: str
) -> None:
    """Nothing half-written is left of a file whose last annotation is wrong."""
    store = MemoryStorage()
    good = note(segmentation=[[1, 1, 5, 1, 5, 5]], keypoints=[1, 2, 2, 3, 4, 2])

    with pytest.raises(InputInvalid, match=match):
        bring(tmp_path, coco(good, annotation), store, task_type=task_type)

    assert {} == contents(store)


def test_a_task_of_another_kind_is_refused(tmp_path: Path) -> None:
    """What is there is left as it is."""
    store = MemoryStorage()
    bring(tmp_path, coco(note()), store)
    before = contents(store)

    with pytest.raises(DeliveryFailed, match="holds object-detection"):
        bring(tmp_path, coco(note(keypoints=[1, 2, 2])), store, task_type="keypoint-detection")

    assert before == contents(store)


def test_a_crash_leaves_no_listed_task_without_its_files(tmp_path: Path) -> None:
    """And the next import completes it."""
    for changes in range(5):
        store = MemoryStorage()
        failing = FailingStorage(store, changes)
        try:
            bring(tmp_path, coco(note()), failing)
        except StorageUnavailable:
            assert f"{ROOT}tasks.json" not in contents(store)
        bring(tmp_path, coco(note()), store)
        assert 4 == len(contents(store))
    assert failing.survived


def test_labelformat_reads_back_what_was_imported(tmp_path: Path) -> None:
    """Lightly's own reader, over frames of a video as COCO names them."""
    from labelformat.formats.lightly import LightlyObjectDetectionInput
    from PIL import Image

    frames = [{"id": n, "file_name": f"cup/final-0{n}-mp4.png", "width": 100, "height": 50} for n in range(3)]
    for frame in frames:
        picture = tmp_path / "pictures" / str(frame["file_name"])
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (100, 50)).save(picture)
    store = LocalStorage(tmp_path / "out", create=True)

    bring(tmp_path, coco(note(0), note(2, 1, score=0.75), images=frames), store)

    reader = LightlyObjectDetectionInput(tmp_path / "out" / ROOT / "labels", images_rel_path=str(tmp_path / "pictures"))
    found = {
        label.image.filename: [(o.category.name, o.box.xmin, o.box.xmax, o.confidence) for o in label.objects]
        for label in reader.get_labels()
    }
    assert {
        "cup/final-00-mp4.png": [("dog", 10, 30.5, 0.5)],
        "cup/final-01-mp4.png": [],
        "cup/final-02-mp4.png": [("cat", 10, 30.5, 0.75)],
    } == found
