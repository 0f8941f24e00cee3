"""The tree of a LightlyOne datasource, as its worker would read it."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import DeliveryFailed
from tasks.sinks.base import Sink
from tasks.sinks.lightly.sink import LightlySink
from tasks.storage.base import Storage
from tasks.storage.local import LocalStorage
from tests.contracts.deliveries import Box, Frames, make_delivery, model_predictions, video_info
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.contracts.sinks import SinkContract
from tests.contracts.tree_reader import PLAYER, ROOT, check_tree, deliver


class TestContract(SinkContract):
    """Keeps every sink's promises."""

    def make_sink(self, store: Storage) -> Sink:
        return LightlySink(store, task_name="players")


class TestContractWithFill(SinkContract):
    """Also when frames between the inferred ones are filled."""

    def make_sink(self, store: Storage) -> Sink:
        return LightlySink(store, task_name="players", fill="nearest")


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
        sink={"fill": "hold", "max_gap": timedelta(seconds=0.1)},
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


@pytest.mark.parametrize(
    ("said", "decoded", "samples", "how", "asked"),
    [
        (500, 498, 3, "auto", False),
        (999, 1001, 3, "auto", True),
        (1000, 999, 3, "auto", True),
        (1001, 1001, 3, "auto", True),
        (1002, 1002, 3, "auto", False),
        (97, 97, 3, "auto", False),
        (98, 100, 3, "auto", True),
        (500, 98, 3, "decode", True),
        (12, 13, 3, "auto", True),
    ],
)
def test_frames_are_counted_by_decoding_where_names_depend_on_it(
    tmp_path: Path, said: int, decoded: int, samples: int, how: Any, asked: bool
) -> None:
    """Near a power of ten, for results beyond the end, and whenever the route says so."""
    videos = []

    def count(video: Any) -> int:
        videos.append(video)
        return decoded

    delivery = make_delivery(tmp_path, [[PLAYER]] * samples, info=video_info(frame_count=said))
    delivery = replace(delivery, open_video=lambda: io.BytesIO(b"the video"))
    store = MemoryStorage()

    sink = LightlySink(store, task_name="players", frame_count=how, count_frames=count)
    receipt = sink.deliver(delivery)

    assert [asked] == [bool(videos)]
    expected = decoded if asked else said
    assert expected == receipt.counts["video_frames"]
    check_tree(store, {delivery.video.name: video_info(frame_count=expected)})
    assert all(video.closed for video in videos)
