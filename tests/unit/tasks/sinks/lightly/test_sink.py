"""The tree of a LightlyOne datasource, as its worker would read it."""

from __future__ import annotations

import json
import math
import re
import struct
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.domain.video import VideoInfo
from tasks.sinks.base import Sink
from tasks.sinks.lightly.sink import LightlySink
from tasks.storage.base import Storage
from tasks.storage.local import LocalStorage
from tests.contracts.deliveries import Box, Frames, make_delivery, model_predictions, video_info
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.sinks import SEEN, SinkContract

ROOT = ".lightly/predictions/"
PLAYER = Box(320, 180, 40, 80, confidence=0.8)


class TestContract(SinkContract):
    """Keeps every sink's promises."""

    def make_sink(self, store: Storage) -> Sink:
        return LightlySink(store, task_name="players")


class TestContractWithFill(SinkContract):
    """Also when frames between the inferred ones are filled."""

    def make_sink(self, store: Storage) -> Sink:
        return LightlySink(store, task_name="players", fill="nearest")


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


def test_the_tree_is_the_documented_one(tmp_path: Path) -> None:
    """Byte for byte, for a video of 100 frames in a sub-folder."""
    store = MemoryStorage()

    deliver(tmp_path, [[PLAYER], None, []], store=store, name="test/video_0.mp4")

    tree = contents(store)
    assert [
        f"{ROOT}players/schema.json",
        f"{ROOT}players/test/video_0-000-mp4.json",
        f"{ROOT}players/test/video_0-012-mp4.json",
        f"{ROOT}tasks.json",
    ] == sorted(tree)
    assert ["players"] == json.loads(tree[f"{ROOT}tasks.json"])
    assert (
        b'{"file_name":"test/video_0-000-mp4.png","predictions":'
        b'[{"category_id":0,"bbox":[300.0,140.0,40.0,80.0],"score":0.8}]}'
        == tree[f"{ROOT}players/test/video_0-000-mp4.json"]
    )
    assert (
        b'{"file_name":"test/video_0-012-mp4.png","predictions":[]}' == tree[f"{ROOT}players/test/video_0-012-mp4.json"]
    )


def test_receipts_count_what_was_done(tmp_path: Path) -> None:
    """Files, frames, objects, and what was left out and why."""
    far, doubtful = Box(-50, -50, 10, 10), Box(10, 10, 5, 5, confidence=0.1)

    _, receipt = deliver(tmp_path, [[PLAYER, far], None, [doubtful]], sink={"min_confidence": 0.3})

    assert {
        "video_frames": 100,
        "frames": 2,
        "objects": 1,
        "outside": 1,
        "below_confidence": 1,
        "not_inferred": 1,
    } == receipt.counts
    assert ("mem://box/.lightly/predictions/players/",) == receipt.outputs


@pytest.mark.parametrize(
    ("size", "rotation", "inferred", "expected"),
    [
        ((640, 360), 0, (640, 360), [300, 140, 40, 80]),
        ((1280, 720), 0, (640, 360), [600, 280, 80, 160]),
        ((640, 360), 180, (640, 360), [300, 140, 40, 80]),
        ((360, 640), 90, (640, 360), [140, 300, 80, 40]),
        ((360, 640), 270, (640, 360), [140, 300, 80, 40]),
    ],
)
def test_boxes_are_those_of_the_frame_as_pyav_decodes_it(
    tmp_path: Path, size: tuple[int, int], rotation: int, inferred: tuple[int, int], expected: list[float]
) -> None:
    """LightlyOne decodes with PyAV, which does not turn frames; the box is in the middle of the picture."""
    model = model_predictions([[PLAYER]], size=inferred)

    tree, _ = deliver(tmp_path, [[PLAYER]], models=[model], info=video_info(size=size, rotation=rotation))

    ((prediction,),) = tree["players"].values()
    assert expected == prediction["bbox"]


def test_a_corner_stays_in_its_corner_when_turned_back(tmp_path: Path) -> None:
    """A phone video of 640x360 that a player turns a quarter counter-clockwise: top left was top right."""
    model = model_predictions([[Box(10, 20, 20, 40)]], size=(360, 640))

    tree, _ = deliver(tmp_path, [[PLAYER]], models=[model], info=video_info(rotation=90))

    ((prediction,),) = tree["players"].values()
    assert [600, 0, 40, 20] == prediction["bbox"]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(0, 0, 20, 20), [0, 0, 10, 10]),
        (Box(640, 360, 20, 20), [630, 350, 10, 10]),
        (Box(320, 180, 9999, 9999), [0, 0, 640, 360]),
        (Box(100, 100, 0.2, 0), [99.9, 100, 1, 1]),
        (Box(639.9, 359.9, 0.2, 0.2), [639, 359, 1, 1]),
    ],
)
def test_boxes_are_clipped_to_the_frame(tmp_path: Path, box: Box, expected: list[float]) -> None:
    """And at least a pixel wide and high, within it."""
    tree, _ = deliver(tmp_path, [[box]])

    ((prediction,),) = tree["players"].values()
    assert expected == prediction["bbox"]


@pytest.mark.parametrize(("confidence", "expected"), [(1.0000001, 1), (-1e-9, 0), (0.7, 0.7), (0.123456, 0.123456)])
def test_scores_are_between_nothing_and_one(tmp_path: Path, confidence: float, expected: float) -> None:
    """Artefacts of 32-bit numbers do not reach the file."""
    tree, _ = deliver(tmp_path, [[PLAYER._replace(confidence=confidence)]])

    ((prediction,),) = tree["players"].values()
    assert expected == prediction["score"]


def test_a_threshold_takes_what_is_exactly_on_it(tmp_path: Path) -> None:
    """0.7 as a 32-bit number is a little less than 0.7."""
    tree, _ = deliver(tmp_path, [[PLAYER._replace(confidence=0.7)]], sink={"min_confidence": 0.7})

    assert [1] == [len(predictions) for predictions in tree["players"].values()]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.lists(
                st.builds(
                    Box,
                    *[st.floats(-700, 1400, width=32)] * 2,
                    *[st.floats(0, 2000, width=32)] * 2,
                    st.sampled_from(["player", "ball", "dog", 'a "b"\n']),
                    st.floats(-0.125, 1.125, width=32),
                    track=st.just(-1),
                ),
                max_size=4,
            ),
        ),
        max_size=6,
    ),
    st.sampled_from([0, 90, 180, 270]),
    st.sampled_from([(640, 360), (360, 640), (1280, 720)]),
    st.sampled_from(["none", "nearest", "hold"]),
)
def test_any_predictions_make_a_tree_that_the_worker_can_read(
    tmp_path_factory: pytest.TempPathFactory, frames: Frames, rotation: int, inferred: tuple[int, int], fill: Any
) -> None:
    """The strict reader finds nothing to object to, and no file where nobody looked."""
    store = MemoryStorage()
    size = (640, 360) if (inferred[0] > inferred[1]) != bool(rotation % 180) else (360, 640)
    info = video_info(size=size, rotation=rotation, frame_count=37)
    model = model_predictions(frames, size=inferred)
    delivery = make_delivery(tmp_path_factory.getbasetemp(), frames, models=[model], info=info)

    receipt = LightlySink(store, task_name="players", fill=fill).deliver(delivery)

    if all(boxes is None for boxes in frames):
        assert {} == contents(store)
        return
    tree = check_tree(store, {delivery.video.name: info})["players"]
    assert len(tree) == receipt.counts["frames"]
    if fill == "none":
        looked = [6 * sample for sample, boxes in enumerate(frames) if boxes is not None]
        assert looked == [int(frame.split("-")[1]) for frame in sorted(tree)]


def test_the_schema_begins_with_the_models_full_list(tmp_path: Path) -> None:
    """Classes that this video does not show have their id, too; one that the list lacks comes after."""
    store = MemoryStorage()
    frames = [[PLAYER._replace(name="streaker"), PLAYER._replace(name="ball")]]

    tree, _ = deliver(tmp_path, frames, store=store, model_classes={"football": ("player", "ball")})

    names = [c["name"] for c in json.loads(store.read(f"{ROOT}players/schema.json"))["categories"]]
    assert ["player", "ball", "streaker"] == names
    assert [2, 1] == [p["category_id"] for p in tree["players"]["cup/final-000-mp4"]]


def test_a_second_video_uses_the_ids_of_the_first(tmp_path: Path) -> None:
    """Classes get ids once, in the order in which videos bring them."""
    store, seen = MemoryStorage(), {}
    for name, classes in (("a.mp4", ["x", "y"]), ("b.mp4", ["z", "y"])):
        frames = [[PLAYER._replace(name=c) for c in classes]]
        delivery = make_delivery(tmp_path, frames, name=name, model_classes={})
        LightlySink(store, task_name="players").deliver(delivery)
        seen[name] = delivery.info

    tree = check_tree(store, seen)["players"]
    assert [0, 1] == [p["category_id"] for p in tree["a-000-mp4"]]
    assert [2, 1] == [p["category_id"] for p in tree["b-000-mp4"]]


def test_filled_frames_repeat_their_neighbours(tmp_path: Path) -> None:
    """Hold carries a sample on for at most its time; the empty sample is held as well."""
    tree, receipt = deliver(
        tmp_path,
        [[PLAYER], []],
        every=10,
        sink={"fill": "hold", "max_hold": timedelta(seconds=0.1)},
        info=video_info(frame_count=20, fps=30),
    )

    counts = {int(frame[-6:-4]): len(predictions) for frame, predictions in tree["players"].items()}
    assert {0: 1, 1: 1, 2: 1, 3: 1, 10: 0, 11: 0, 12: 0, 13: 0} == counts
    assert (8, 20) == (receipt.counts["frames"], receipt.counts["video_frames"])


@pytest.mark.parametrize(
    "earlier",
    [
        {"every": 4},  # another frame rate of inference
        {"info": video_info(frame_count=1000)},  # another number of frames, and so another padding
        {"info": video_info(frame_count=99)},
    ],
)
def test_files_of_an_earlier_delivery_are_removed(tmp_path: Path, earlier: dict[str, Any]) -> None:
    """Only the frames of the newest results remain, and the receipt counts the others."""
    store = MemoryStorage()
    LightlySink(store, task_name="players").deliver(make_delivery(tmp_path, [[PLAYER]] * 5, **earlier))

    tree, receipt = deliver(tmp_path, [[PLAYER]] * 3, store=store)

    assert ["cup/final-000-mp4", "cup/final-006-mp4", "cup/final-012-mp4"] == sorted(tree["players"])
    assert receipt.counts["stale_removed"] > 0


def test_a_video_that_could_not_be_looked_at_loses_its_old_files(tmp_path: Path) -> None:
    """All frames null: nothing is known of this version, and files of the old one would be wrong."""
    store = MemoryStorage()
    sink = LightlySink(store, task_name="players")
    sink.deliver(make_delivery(tmp_path, [[PLAYER]] * 2))

    receipt = sink.deliver(make_delivery(tmp_path, [None, None]))

    assert {f"{ROOT}players/schema.json", f"{ROOT}tasks.json"} == set(contents(store))
    assert {"video_frames": 100, "frames": 0, "not_inferred": 2, "stale_removed": 2} == receipt.counts


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


@pytest.mark.parametrize("suffix", ["mp4", "M4V", "hevc", "mpg", "mpeg", "avi", "MOV", "webm"])
def test_every_kind_of_file_that_lightly_reads_is_written(tmp_path: Path, suffix: str) -> None:
    """Whatever the case of the extension, which is kept."""
    tree, _ = deliver(tmp_path, [[PLAYER]], name=f"v.{suffix}")

    assert [f"v-000-{suffix}"] == list(tree["players"])


@pytest.mark.parametrize("name", ["v.mkv", "v.ts", "v.wmv", "v", "v.", ".mp4", "v.mp4.bak"])
def test_a_file_that_lightly_does_not_read_is_left_out(tmp_path: Path, name: str) -> None:
    """A warning, no file, no failure."""
    store = MemoryStorage()

    receipt = LightlySink(store, task_name="players").deliver(make_delivery(tmp_path, [[PLAYER]], name=name))

    assert {} == contents(store)
    assert name in receipt.warnings[0]


@pytest.mark.parametrize(
    ("task", "hint"),
    [
        (TaskType.EMBEDDING, "results route"),
        (TaskType.INSTANCE_SEGMENTATION, "object-detection"),
        (TaskType.KEYPOINT_DETECTION, "object-detection"),
        (TaskType.CLASSIFICATION, "object-detection"),
        (TaskType.SEMANTIC_SEGMENTATION, "object-detection"),
    ],
)
def test_other_kinds_of_prediction_are_refused(tmp_path: Path, task: TaskType, hint: str) -> None:
    """Nothing is written, and the hint says what can be done."""
    store, model = MemoryStorage(), model_predictions([[PLAYER]], task=task)

    with pytest.raises(DeliveryFailed, match=task) as refused:
        LightlySink(store, task_name="players").deliver(make_delivery(tmp_path, [[PLAYER]], models=[model]))

    assert hint in refused.value.hint
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


def test_frames_beyond_the_end_are_refused(tmp_path: Path) -> None:
    """Frame 12 of a video of 12 frames: the results are not of this video."""
    store = MemoryStorage()
    delivery = make_delivery(tmp_path, [[PLAYER]] * 3, info=video_info(frame_count=12))

    with pytest.raises(DeliveryFailed, match="frame 12"):
        LightlySink(store, task_name="players").deliver(delivery)

    assert {} == contents(store)


def test_the_last_frame_is_a_frame(tmp_path: Path) -> None:
    """Frame 12 of 13."""
    tree, _ = deliver(tmp_path, [[PLAYER]] * 3, info=video_info(frame_count=13))

    assert "cup/final-12-mp4" in tree["players"]


def test_a_box_that_is_none_fails_before_any_frame_is_written(tmp_path: Path) -> None:
    """NaN never reaches a file."""
    store = MemoryStorage()
    delivery = make_delivery(tmp_path, [[PLAYER], [PLAYER._replace(x=math.nan)]])

    with pytest.raises(DeliveryFailed):
        LightlySink(store, task_name="players").deliver(delivery)

    assert {f"{ROOT}players/schema.json"} >= set(contents(store))


def test_labelformat_reads_back_what_was_predicted(tmp_path: Path) -> None:
    """Lightly's own reader finds each frame's picture, its boxes, classes and scores."""
    from labelformat.formats.lightly import LightlyObjectDetectionInput

    store = LocalStorage(tmp_path / "out", create=True)
    frames: Frames = [[PLAYER, Box(9.5, 8.25, 5, 4.5, "ball", 0.25)], [], None, [PLAYER]]
    LightlySink(store, task_name="players").deliver(make_delivery(tmp_path, frames))
    for frame in (0, 6, 18):
        picture = tmp_path / f"pictures/cup/final-{frame:03}-mp4.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(png_header(640, 360))

    reader = LightlyObjectDetectionInput(
        tmp_path / "out" / ROOT / "players", images_rel_path=str(tmp_path / "pictures")
    )

    found = {
        label.image.filename: [
            (o.category.name, o.box.xmin, o.box.ymin, o.box.xmax, o.box.ymax, o.confidence) for o in label.objects
        ]
        for label in reader.get_labels()
    }
    player = ("player", 300, 140, 340, 220, 0.8)
    assert {
        "cup/final-000-mp4.png": [player, ("ball", 7, 6, 12, 10.5, 0.25)],
        "cup/final-006-mp4.png": [],
        "cup/final-018-mp4.png": [player],
    } == found


def png_header(width: int, height: int) -> bytes:
    """Signature and IHDR: all that a reader of sizes looks at."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", width, height, 8, 2, 0, 0, 0, 0)
