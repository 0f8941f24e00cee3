"""What people see on an annotated copy: boxes where the objects are, on every frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.domain.predictions import TaskType
from tasks.storage.base import Storage
from tests.clips import CLIP_SIZE, numbered, write_clip
from tests.contracts.deliveries import Box, Frames, make_delivery, model_predictions
from tests.contracts.memory_storage import MemoryStorage
from tests.unit.tasks.sinks.clip_deliveries import Image, black, delivery_of, probed, sink


def pictures(store: Storage, key: str, folder: Path) -> list[Image]:
    path = folder / "watched.mp4"
    store.download(key, path)
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def drawn(picture: Image) -> NDArray[np.bool_]:
    """Where a black picture is not black any more."""
    return np.asarray(picture.max(axis=2) > 60)


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
