"""The video route: one annotated copy per video, with every frame, boxes where the objects are."""

from __future__ import annotations

import gzip
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.domain.errors import DeliveryFailed, ObjectMissing, StorageUnavailable
from tasks.domain.predictions import TaskType
from tasks.domain.video import VideoInfo
from tasks.predictions.interpolate import Interpolator
from tasks.sinks.base import Delivery, Sink
from tasks.sinks.video import VideoSink, output_key
from tasks.storage.base import Storage
from tasks.storage.local import LocalStorage
from tests.clips import CLIP_SIZE, numbered, sample_footage, write_clip
from tests.contracts.deliveries import Box, Frames, make_delivery, model_predictions, video_info
from tests.contracts.memory_storage import FailingStorage, MemoryStorage, contents
from tests.contracts.sinks import SinkContract

Image = NDArray[np.uint8]
SMALL = (64, 36)


def black(index: int, width: int, height: int) -> Image:
    return np.zeros((height, width, 3), np.uint8)


def sink(store: Storage, *, min_confidence: float | None = None) -> VideoSink:
    return VideoSink(store, interpolate=Interpolator, min_confidence=min_confidence)


def delivery_of(clip: Path, folder: Path, frames: Frames, *, name: str = "cup/final.mp4", every: int = 6) -> Delivery:
    """A delivery of a real clip, inferred upright at full size."""
    info = probed(clip)
    models = [model_predictions(frames, size=info.display_size)]
    delivery = make_delivery(folder, frames, name=name, every=every, info=info, models=models)
    return replace(delivery, open_video=lambda: clip.open("rb"))


def probed(clip: Path) -> VideoInfo:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        first = frames[0]
        info = video_info(size=(first.width, first.height), rotation=round(first.rotation) % 360)
        return replace(info, fps=Fraction(stream.average_rate), frame_count=len(frames))


def pictures(store: Storage, key: str, folder: Path) -> list[Image]:
    path = folder / "watched.mp4"
    store.download(key, path)
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def drawn(picture: Image) -> NDArray[np.bool_]:
    """Where a black picture is not black any more."""
    return np.asarray(picture.max(axis=2) > 60)


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "c.mp4", frames=66, size=SMALL, picture=black)


class TestVideoSink(SinkContract):
    """The contract of all sinks, on a clip small enough to be encoded a hundred times."""

    clip: Path

    @pytest.fixture(autouse=True)
    def with_clip(self, small_clip: Path) -> None:
        self.clip = small_clip

    def make_sink(self, store: Storage) -> Sink:
        return sink(store)

    def make_delivery(self, folder: Path, frames: Frames, *, name: str = "cup/final.mp4", every: int = 6) -> Delivery:
        info = video_info(size=SMALL, frame_count=66)
        delivery = make_delivery(folder, frames, name=name, every=every, info=info)
        return replace(delivery, open_video=lambda: self.clip.open("rb"))


def test_real_footage_end_to_end(tmp_path: Path) -> None:
    """Bikes in Brussels: 250 frames at their own times, with boxes that move, in a file a browser plays."""
    source = sample_footage("bikes.mp4")
    frames = [[Box(100 + 8 * sample, 136, 60, 120, "person", 0.87, track=1)] for sample in range(50)]
    store = LocalStorage(tmp_path / "out", create=True)

    receipt = sink(store).deliver(delivery_of(source, tmp_path, frames, every=5))

    assert {"frames": 250, "objects": 50, "tracks": 1} == receipt.counts
    assert () == receipt.warnings
    assert (f"file://{tmp_path}/out/cup/final.mp4",) == receipt.outputs
    path = tmp_path / "out/cup/final.mp4"
    with av.open(str(path)) as result, av.open(str(source)) as original:
        context = result.streams.video[0].codec_context
        assert ("h264", "yuv420p", 640, 272) == (context.name, context.pix_fmt, context.width, context.height)
        pairs = [
            (new.pts * new.time_base, old.pts * old.time_base, new, old)
            for new, old in zip(result.decode(video=0), original.decode(video=0), strict=True)
        ]
    assert [old for _, old, _, _ in pairs] == [new for new, _, _, _ in pairs]
    for index in (0, 3, 101, 245):
        new, old = (pairs[index][side].to_ndarray(format="rgb24").astype(int) for side in (2, 3))
        changed = np.abs(new - old).sum(axis=2) > 120
        left = round(100 + 8 * index / 5) - 30
        assert changed[90:190, left - 2 : left + 3].any(axis=1).mean() > 0.6, "the box's left side"
        assert changed[200:, :].mean() < 0.02, "nothing else"


def test_boxes_never_flicker(tmp_path: Path) -> None:
    """On each frame between its first and last sample the object has its box, where interpolation puts it."""
    clip = write_clip(tmp_path / "in.mp4", frames=31, size=(320, 240), picture=black)
    frames = [[Box(60 + 40 * sample, 120, 40, 60, track=1)] for sample in range(4)]
    store = MemoryStorage()
    sink(store).deliver(delivery_of(clip, tmp_path, frames, every=10))
    watched = pictures(store, "cup/final.mp4", tmp_path)
    assert 31 == len(watched)
    for index, picture in enumerate(watched):
        columns = np.flatnonzero(drawn(picture)[110:140].all(axis=0))
        assert abs(columns[0] - (40 + 4 * index)) <= 2
        assert abs(columns[-1] - (80 + 4 * index)) <= 2


def test_a_video_without_detections_looks_as_before(tmp_path: Path) -> None:
    """Nothing seen, nothing drawn: a plain copy."""
    clip = write_clip(tmp_path / "in.mp4", frames=12)
    store = MemoryStorage()
    receipt = sink(store).deliver(delivery_of(clip, tmp_path, [[], None]))
    assert {"frames": 12, "objects": 0, "tracks": 0} == receipt.counts
    for index, picture in enumerate(pictures(store, "cup/final.mp4", tmp_path)):
        assert np.abs(picture.astype(int) - numbered(index, *CLIP_SIZE)).mean() < 12


# Turned by half, a picture has one size both ways: its boxes always count as upright.
@pytest.mark.parametrize(
    ("rotation", "upright"), [(0, True), (90, True), (90, False), (180, True), (270, True), (270, False)]
)
def test_a_turned_video_has_its_boxes_upright(tmp_path: Path, rotation: int, upright: bool) -> None:
    """Whichever way the service looked at a phone's video, the box is on the object that people see."""
    width, height = 160, 96
    clip = write_clip(tmp_path / "in.mp4", frames=3, size=(width, height), rotation=rotation, picture=black)
    # A thing at the left of the coded picture, half-way down: where people see it.
    coded = Box(40, 48, 20, 20)
    seen = {
        0: coded,
        90: Box(48, width - 40, 20, 20),
        180: Box(width - 40, 48, 20, 20),
        270: Box(48, 40, 20, 20),
    }[rotation]
    info = probed(clip)
    assert rotation == info.rotation
    frames = [[seen if upright else coded]]
    model = model_predictions(frames, size=info.display_size if upright else (width, height))
    delivery = make_delivery(tmp_path, frames, info=info, models=[model])
    store = MemoryStorage()
    sink(store).deliver(replace(delivery, open_video=lambda: clip.open("rb")))
    picture = pictures(store, "cup/final.mp4", tmp_path)[1]
    assert (*info.display_size[::-1], 3) == picture.shape
    mask = drawn(picture)
    x, y = int(seen.x), int(seen.y)
    assert mask[y + 10, x - 8 : x + 9].mean() > 0.8, "the lower side"
    assert mask[y - 8 : y + 9, x - 10].mean() > 0.8, "the left side"
    assert not mask[y, x]


def test_odd_sides(tmp_path: Path) -> None:
    """A 321x241 clip becomes 322x242, with its boxes where they were."""
    clip = write_clip(tmp_path / "in.mkv", frames=3, size=(321, 241), codec="ffv1", b_frames=0, picture=black)
    store = MemoryStorage()
    sink(store).deliver(delivery_of(clip, tmp_path, [[Box(160, 120, 60, 40)]], name="odd.mkv"))
    picture = pictures(store, "odd.mkv.mp4", tmp_path)[1]
    assert (242, 322, 3) == picture.shape
    mask = drawn(picture)
    assert mask[101:140, 130].all()
    assert mask[101:140, 190].all()
    assert not mask[110:130, 140:180].any()


def test_a_variable_frame_rate(tmp_path: Path) -> None:
    """Boxes go by frame index, frames keep their own times."""
    times_ms = [0, 10, 500, 520, 2_000, 2_040, 2_050, 4_000]
    clip = write_clip(tmp_path / "in.mkv", frames=8, size=(320, 240), times_ms=times_ms, picture=black)
    frames = [[Box(60, 120, 40, 60, track=1)], [Box(200, 120, 40, 60, track=1)]]
    store = MemoryStorage()
    sink(store).deliver(delivery_of(clip, tmp_path, frames, every=7, name="in.mkv"))
    store.download("in.mkv.mp4", tmp_path / "watched.mp4")
    with av.open(str(tmp_path / "watched.mp4")) as container:
        watched = list(container.decode(video=0))
    assert times_ms == [round(frame.pts * frame.time_base * 1000) for frame in watched]
    for index, frame in enumerate(watched):
        columns = np.flatnonzero(drawn(frame.to_ndarray(format="rgb24"))[110:140].all(axis=0))
        assert abs(columns[0] - (40 + 20 * index)) <= 2


def test_masks_points_and_captions_are_drawn(tmp_path: Path) -> None:
    """Everything that the results have is on the picture, of all models."""
    clip = write_clip(tmp_path / "in.mp4", frames=3, size=(320, 240), picture=black)
    frames: Frames = [[Box(160, 100, 60, 40)]]
    model = model_predictions(frames, size=(320, 240), task=TaskType.INSTANCE_SEGMENTATION)
    objects = replace(
        model.objects,
        polygon=np.array([[140, 90], [180, 90], [180, 110], [140, 110]], np.float32),
        polygon_start=np.array([0, 4]),
        keypoint=np.array([[60, 60, 1]], np.float32),
        keypoint_class=np.zeros(1, np.int32),
        keypoint_start=np.array([0, 1]),
    )
    caption = model_predictions([[]], model="scene", size=(320, 240), task=TaskType.CLASSIFICATION)
    caption = replace(
        caption,
        classes=("goal",),
        labels=replace(
            caption.labels,
            sample=np.zeros(1, np.int32),
            class_code=np.zeros(1, np.int32),
            confidence=np.ones(1, np.float32),
            chosen=np.ones(1, np.bool_),
        ),
    )
    delivery = make_delivery(
        tmp_path, frames, info=probed(clip), models=[replace(model, objects=objects), caption], model_classes={}
    )
    store = MemoryStorage()
    sink(store).deliver(replace(delivery, open_video=lambda: clip.open("rb")))
    mask = pictures(store, "cup/final.mp4", tmp_path)[1].max(axis=2) > 40
    assert mask[95:105, 145:175].all(), "the mask"
    assert mask[60, 60], "the keypoint"
    assert mask[225:239, 2:40].any(), "the caption"
    assert not mask[130:200].any()


def test_only_sure_things_are_drawn(tmp_path: Path) -> None:
    """The route's own threshold leaves out what is below it."""
    clip = write_clip(tmp_path / "in.mp4", frames=3, size=(320, 240), picture=black)
    frames: Frames = [[Box(60, 120, 40, 40, confidence=0.3), Box(200, 120, 40, 40, confidence=0.6)]]
    store = MemoryStorage()
    receipt = sink(store, min_confidence=0.5).deliver(delivery_of(clip, tmp_path, frames))
    mask = drawn(pictures(store, "cup/final.mp4", tmp_path)[0])
    assert not mask[:, :150].any()
    assert mask[:, 150:].any()
    assert 1 == receipt.counts["objects"]


# --- names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clip.mp4", "clip.mp4"),
        ("a b/ç#?.MP4", "a b/ç#?.MP4"),
        ("clip.avi", "clip.avi.mp4"),
        ("clip", "clip.mp4"),
        ("v1.2/clip", "v1.2/clip.mp4"),
        ("clip.mp4.mov", "clip.mp4.mov.mp4"),
        (".mp4", ".mp4"),
    ],
)
def test_the_copy_is_named_after_its_video(name: str, expected: str) -> None:
    """An mp4 keeps its name; anything else gets the suffix behind its own."""
    assert expected == output_key(name)


def test_a_video_is_not_overwritten_by_its_copy(tmp_path: Path) -> None:
    """A route into the source's own folder is refused before anything is written."""
    clip = write_clip(tmp_path / "final.mp4", frames=3)
    before = clip.read_bytes()
    delivery = delivery_of(clip, tmp_path, [[]], name="final.mp4")
    delivery = replace(delivery, video=replace(delivery.video, uri=f"file://{clip}"))
    with pytest.raises(DeliveryFailed, match="overwritten") as caught:
        sink(LocalStorage(tmp_path)).deliver(delivery)
    assert "of its own" in caught.value.hint
    assert before == clip.read_bytes()


# --- what goes wrong -----------------------------------------------------------------------


def test_a_damaged_video_leaves_nothing(tmp_path: Path) -> None:
    """A video that cannot be decoded is a failed delivery without a half copy."""
    clip = write_clip(tmp_path / "in.mp4", frames=12)
    delivery = delivery_of(clip, tmp_path, [[]])
    clip.write_bytes(gzip.compress(clip.read_bytes()))
    store = MemoryStorage()
    with pytest.raises(DeliveryFailed):
        sink(store).deliver(delivery)
    assert {} == contents(store)


def test_fewer_frames_than_counted_are_mentioned(tmp_path: Path) -> None:
    """A copy that is shorter than the video was is not passed over in silence."""
    clip = write_clip(tmp_path / "in.mp4", frames=12)
    delivery = delivery_of(clip, tmp_path, [[]])
    delivery = replace(delivery, info=replace(delivery.info, frame_count=15))
    assert ("12 frames were drawn, where 15 were counted before",) == sink(MemoryStorage()).deliver(delivery).warnings


def test_results_beyond_the_last_frame_are_refused(tmp_path: Path) -> None:
    """Results of a longer video belong to another version of it."""
    clip = write_clip(tmp_path / "in.mp4", frames=12)
    with pytest.raises(DeliveryFailed, match="frame 12"):
        sink(MemoryStorage()).deliver(delivery_of(clip, tmp_path, [[], [], []], every=6))


def test_embeddings_alone_cannot_be_drawn(tmp_path: Path) -> None:
    """A model without anything to see is named; beside another model it is only mentioned."""
    clip = write_clip(tmp_path / "in.mp4", frames=12)
    embedding = model_predictions([[]], model="clip", task=TaskType.EMBEDDING, size=CLIP_SIZE)
    delivery = delivery_of(clip, tmp_path, [[]])
    alone = replace(delivery, predictions=replace(delivery.predictions, models=(embedding,)))
    with pytest.raises(DeliveryFailed, match="nothing"):
        sink(MemoryStorage()).deliver(alone)
    both = replace(
        delivery, predictions=replace(delivery.predictions, models=(*delivery.predictions.models, embedding))
    )
    (warning,) = sink(MemoryStorage()).deliver(both).warnings
    assert "clip" in warning


def test_masks_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    """The receipt says how many masks are missing on the picture."""
    clip = write_clip(tmp_path / "in.mp4", frames=12)
    delivery = delivery_of(clip, tmp_path, [[Box(50, 50, 20, 20)], [Box(50, 50, 20, 20)]])
    (model,) = delivery.predictions.models
    model = replace(model, objects=replace(model.objects, rle={0: (5, 5, [1]), 1: (5, 5, [2])}))
    delivery = replace(delivery, predictions=replace(delivery.predictions, models=(model,)))
    assert ("2 masks could not be read and were not drawn",) == sink(MemoryStorage()).deliver(delivery).warnings


def test_a_turned_square_video_is_mentioned(tmp_path: Path) -> None:
    """Where nothing tells which way up the service looked, the receipt says what was assumed."""
    clip = write_clip(tmp_path / "in.mp4", frames=3, size=(96, 96), rotation=90)
    (warning,) = sink(MemoryStorage()).deliver(delivery_of(clip, tmp_path, [[]])).warnings
    assert "turned by 90" in warning


def test_errors_of_the_source_come_through(tmp_path: Path) -> None:
    """A video that was deleted meanwhile is missing, not damaged."""
    clip = write_clip(tmp_path / "in.mp4", frames=3)

    def gone() -> BinaryIO:
        raise ObjectMissing("it was deleted")

    delivery = replace(delivery_of(clip, tmp_path, [[]]), open_video=gone)
    with pytest.raises(ObjectMissing):
        sink(MemoryStorage()).deliver(delivery)


def test_errors_of_the_target_come_through_and_nothing_is_left_on_disk(tmp_path: Path) -> None:
    """A store that refuses the upload fails the delivery; the staged file is gone."""
    delivery = delivery_of(write_clip(tmp_path / "in.mp4", frames=3), tmp_path, [[]])
    before = set(tmp_path.rglob("*"))
    with pytest.raises(StorageUnavailable):
        sink(FailingStorage(MemoryStorage(), 0)).deliver(delivery)
    assert before == set(tmp_path.rglob("*"))


def test_a_local_disk_that_refuses_is_told_as_such(tmp_path: Path) -> None:
    """Without a place to stage the copy, the delivery may be tried again."""
    delivery = delivery_of(write_clip(tmp_path / "in.mp4", frames=3), tmp_path, [[]])
    with pytest.raises(StorageUnavailable, match="local disk"):
        sink(MemoryStorage()).deliver(replace(delivery, results_file=tmp_path / "absent" / "results.json"))


def test_nothing_spans_videos(tmp_path: Path) -> None:
    """There is nothing to write at the end of a run."""
    assert sink(MemoryStorage()).finish([]) is None
