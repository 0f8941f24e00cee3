"""The video route: one annotated copy per video, with every frame, or a failure that is told."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import pytest

from tasks.domain.errors import DeliveryFailed, ObjectMissing, StorageUnavailable
from tasks.domain.predictions import TaskType
from tasks.predictions.interpolate import Interpolator
from tasks.sinks.base import Delivery, Sink
from tasks.sinks.video import VideoSink, output_key
from tasks.storage.base import Storage
from tasks.storage.local import LocalStorage
from tests.clips import CLIP_SIZE, sample_footage, write_clip
from tests.contracts.deliveries import Box, Frames, make_delivery, model_predictions, video_info
from tests.contracts.memory_storage import FailingStorage, MemoryStorage, contents
from tests.contracts.sinks import SinkContract
from tests.unit.tasks.sinks.clip_deliveries import black, delivery_of, sink

SMALL = (64, 36)


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


# --- names -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name", ["clip.avi", "a/clip.mov", "clip"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0, 1), (1, 0, 1, 0, 0)])
@pytest.mark.parametrize("known_first", [True, False])
def test_videos_whose_copies_would_meet_get_two(
    name: str, order: tuple[int, ...], known_first: bool, small_clip: Path, tmp_path: Path
) -> None:
    """``clip.avi`` and ``clip.avi.mp4``, listed together or one after the other, delivered in any order and again.

    A copy that is there stays what it is: the other steps aside, and says so.
    """
    store, delivered = MemoryStorage(), dict[str, set[str]]()
    deliveries = []
    for number, one in enumerate((name, f"{name}.mp4")):
        (tmp_path / str(number)).mkdir()
        made = delivery_of(small_clip, tmp_path / str(number), [[]], name=one)
        deliveries.append(replace(made, video=replace(made.video, uri=f"s3://bucket/videos/{one}")))
    if known_first:
        delivered = {delivery.video.uri: set() for delivery in deliveries}
    route = VideoSink(store, interpolate=Interpolator, outputs_of=delivered.get)
    places: dict[int, str] = {}
    warned = set()
    for number in order:
        uri = deliveries[number].video.uri
        delivered[uri] = set()  # as the ledger has it while a copy is made, for the first time or again
        receipt = route.deliver(deliveries[number])
        (place,) = receipt.outputs
        assert places.setdefault(number, place) == place
        delivered[uri] = {place}
        warned |= {number} if any("another video has the copy" in warning for warning in receipt.warnings) else set()
    assert 2 == len(set(places.values())) == len(contents(store))
    assert f"{store.root}{name}.mp4" in places.values()
    assert 1 == len(warned)
    assert (order[0] not in warned) or known_first


def test_a_copy_whose_name_nobody_else_wants_keeps_it(small_clip: Path, tmp_path: Path) -> None:
    """The pipeline's other videos do not matter; nor does a name that ends twice in .mp4."""
    for name in ("clip.avi.mp4", "clip.avi", "clip.mp4.mp4", "clip.mp4"):
        folder = tmp_path / name
        folder.mkdir()
        asked: list[str] = []
        made = delivery_of(small_clip, folder, [[]], name=name)
        route = VideoSink(MemoryStorage(), interpolate=Interpolator, outputs_of=asked.append)
        (place,) = route.deliver(replace(made, video=replace(made.video, uri=f"s3://bucket/{name}"))).outputs
        assert place.endswith(output_key(name))
        assert f"s3://bucket/{name}" not in asked


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


# --- what goes wrong -------------------------------------------------------------------------


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
    assert ("2 masks could not be read and drawn",) == sink(MemoryStorage()).deliver(delivery).warnings


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
