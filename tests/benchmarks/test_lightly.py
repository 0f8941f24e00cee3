"""What a LightlyOne prediction tree costs, against Lightly's own writer, boto3 and the documentation's encoder."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from labelformat.formats.lightly import LightlyObjectDetectionOutput
from labelformat.model.bounding_box import BoundingBox, BoundingBoxFormat
from labelformat.model.category import Category
from labelformat.model.image import Image
from labelformat.model.object_detection import ImageObjectDetection, ObjectDetectionInput, SingleObjectDetection
from numpy.typing import NDArray

from tasks.domain.predictions import ModelPredictions, TaskType
from tasks.sinks.base import Delivery
from tasks.sinks.lightly.masks import filled
from tasks.sinks.lightly.sink import LightlySink
from tasks.storage.local import LocalStorage
from tasks.storage.s3 import S3Storage
from tests.benchmarks.canned import serving
from tests.benchmarks.cpu import cpu_s
from tests.contracts.deliveries import Box, Frames, make_delivery, model_predictions, video_info

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

FRAMES = 20_000
PER_FRAME = 10
NAMES = ("player", "ball", "referee", "goal")


def boxes() -> Frames:
    chance = np.random.default_rng(0)
    numbers = chance.integers(20, 300, (FRAMES, PER_FRAME, 4)).tolist()
    confidence = chance.random((FRAMES, PER_FRAME)).round(4).tolist()
    return [
        [Box(x, y, w, h, NAMES[i % 4], c) for i, ((x, y, w, h), c) in enumerate(zip(frame, sure, strict=True))]
        for frame, sure in zip(numbers, confidence, strict=True)
    ]


def long_delivery(folder: Path) -> Delivery:
    """A video of 20,000 frames, all of them inferred, with ten objects each."""
    model = model_predictions(boxes())
    info = video_info(frame_count=FRAMES)
    return make_delivery(folder, [[]] * FRAMES, every=1, info=info, models=[model], name="cup/final.mp4")


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    return long_delivery(tmp_path_factory.mktemp("delivery"))


class Labels(ObjectDetectionInput):  # type: ignore[misc]
    """The same predictions as an input of labelformat's: made while they are read, as its own inputs do."""

    def __init__(self) -> None:
        self._frames = boxes()
        self._categories = [Category(number, name) for number, name in enumerate(NAMES)]

    @staticmethod
    def add_cli_arguments(parser: Any) -> None:
        pass

    def get_categories(self) -> Any:
        return self._categories

    def get_images(self) -> Any:
        for number in range(FRAMES):
            yield Image(number, f"cup/final-{number:05}-mp4.png", 640, 360)

    def get_labels(self) -> Any:
        of_name = {category.name: category for category in self._categories}
        for image, frame in zip(self.get_images(), self._frames, strict=True):
            objects = [
                SingleObjectDetection(
                    of_name[box.name],
                    BoundingBox.from_format([box.x, box.y, box.width, box.height], BoundingBoxFormat.CXCYWH),
                    box.confidence,
                )
                for box in frame or ()
            ]
            yield ImageObjectDetection(image, objects)


def in_turns(theirs: Callable[[], object], ours: Callable[[], object], rounds: int) -> tuple[float, float]:
    """CPU seconds of both, the best of some rounds: what else the machine does hits both."""
    costs = [(cpu_s(theirs, rounds=1), cpu_s(ours, rounds=1)) for _ in range(rounds)]
    return min(cost for cost, _ in costs), min(cost for _, cost in costs)


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    """A folder in memory where there is one: what a disk's file system costs is neither writer's."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def test_files_are_written_five_times_as_fast_as_by_lightlys_own_writer(delivery: Delivery, memory_disk: Path) -> None:
    """Twenty thousand frames of ten detections into a folder, per CPU second."""
    labels = Labels()
    folders = (memory_disk / str(number) for number in itertools.count())

    def theirs() -> None:
        LightlyObjectDetectionOutput(next(folders) / "players").save(labels)

    def ours() -> None:
        store = LocalStorage(next(folders), create=True)
        assert FRAMES == LightlySink(store, task_name="players").deliver(delivery).counts["frames"]

    theirs_s, ours_s = in_turns(theirs, ours, rounds=5)
    print(
        f"\n{FRAMES:,} frames to files: labelformat {FRAMES / theirs_s:,.0f}, ours {FRAMES / ours_s:,.0f} "
        f"per CPU second: {theirs_s / ours_s:.1f} times"
    )
    assert theirs_s >= 5 * ours_s


def test_objects_are_written_five_times_as_fast_as_by_boto3(delivery: Delivery) -> None:
    """Frames of ten detections to an S3 endpoint, against boto3 with threads, per CPU second of this process."""
    count = 4_000
    predictions = delivery.predictions
    part = replace(predictions, frame_index=predictions.frame_index[:count], models=(first(count),))
    short = replace(delivery, predictions=part)
    session = boto3.Session("key", "secret", region_name="eu-west-1")
    with serving("tests.benchmarks.canned_datasource") as url:
        config = Config(signature_version="s3v4", max_pool_connections=32)
        client = session.client("s3", endpoint_url=url, config=config)
        bodies = {f"players/cup/final-{n:05}-mp4.json": b"x" * 1_000 for n in range(count)}

        def theirs() -> None:
            with ThreadPoolExecutor(16) as pool:
                list(
                    pool.map(
                        lambda item: client.put_object(Bucket="datasource", Key=item[0], Body=item[1]), bodies.items()
                    )
                )

        def ours() -> None:
            store = S3Storage("datasource", session=session, endpoint_url=url)
            assert count == LightlySink(store, task_name="players").deliver(short).counts["frames"]

        theirs_s, ours_s = in_turns(theirs, ours, rounds=2)
    print(
        f"\n{count:,} frames to S3: boto3 (uploads alone) {count / theirs_s:,.0f}, ours {count / ours_s:,.0f} "
        f"per CPU second: {theirs_s / ours_s:.1f} times"
    )
    assert theirs_s >= 5 * ours_s


def first(count: int) -> ModelPredictions:
    return model_predictions(boxes()[:count])


def documents_encode(binary_mask: NDArray[np.int_]) -> list[int]:
    """LightlyOne's documentation, "Semantic Segmentation": run lengths of a mask of the whole frame."""
    assert np.all((binary_mask == 1) | (binary_mask == 0))
    flat = np.concatenate(([-1], np.ravel(binary_mask), [-1]))
    borders = np.nonzero(np.diff(flat))[0]
    rle = np.diff(borders)
    if flat[1]:
        rle = np.concatenate(([0], rle))
    encoded: list[int] = rle.tolist()
    return encoded


def test_masks_are_encoded_twenty_times_as_fast_as_by_the_document() -> None:
    """Polygons of about 150 pixels in frames of 1920x1080: filled and encoded, against encoding alone."""
    chance = np.random.default_rng(0)
    polygons, masks = [], []
    for _ in range(60):
        angles = np.sort(chance.random(40)) * 2 * np.pi
        centre, radius = chance.uniform((0, 0), (1920, 1080)), chance.uniform(50, 75, 40)
        polygons.append(np.rint(centre + np.column_stack((np.cos(angles), np.sin(angles))) * radius[:, None]))
        crop = filled(polygons[-1:], (1920, 1080))
        mask = np.zeros((1080, 1920), np.int_)
        mask[crop.top : crop.top + crop.mask.shape[0], crop.left : crop.left + crop.mask.shape[1]] = crop.mask
        masks.append(mask)

    def theirs() -> list[list[int]]:
        return [documents_encode(mask) for mask in masks]

    def ours() -> list[list[int]]:
        return [filled([polygon], (1920, 1080)).run_lengths((1920, 1080)) for polygon in polygons]

    assert theirs() == ours()
    theirs_s, ours_s = in_turns(theirs, ours, rounds=3)
    print(
        f"\nper 1080p mask: the document's encode {theirs_s / 60 * 1e3:.2f} ms, ours with its filling "
        f"{ours_s / 60 * 1e3:.3f} ms: {theirs_s / ours_s:.0f} times"
    )
    assert theirs_s >= 20 * ours_s


GROWTH = """
import sys, tempfile
from dataclasses import replace
from pathlib import Path
import numpy as np
from tasks.sinks.lightly.sink import LightlySink
from tasks.storage.local import LocalStorage
from tests.benchmarks import test_lightly as bench

def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

with tempfile.TemporaryDirectory() as folder:
    made = {"boxes": bench.long_delivery, "masks": bench.masks_delivery}[sys.argv[1]](Path(folder))
    sink = LightlySink(LocalStorage(Path(folder) / "out", create=True), task_name="players")
    sink.deliver(bench.make_delivery(Path(folder), [[bench.Box(50, 50, 9, 9)]] * 3))
    before = kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    other = LightlySink(LocalStorage(Path(folder) / "out", create=True), task_name="more")
    frames = other.deliver(made).counts["frames"]
    print(frames, kilobytes("VmHWM") - before)
"""


def masks_delivery(folder: Path) -> Delivery:
    """600 frames of a 1080p video with ten polygons each, whose run lengths are long."""
    chance = np.random.default_rng(0)
    frames = [[Box(960, 540, 400, 400)] * 10] * 600
    model = model_predictions(frames, task=TaskType.INSTANCE_SEGMENTATION, size=(1920, 1080))
    corners = 60
    polygon = chance.uniform(760, 1160, (6_000 * corners, 2)).astype(np.float32) - (0, 220)
    start = np.arange(6_001, dtype=np.int64) * corners
    objects = replace(model.objects, polygon=polygon.astype(np.float32), polygon_start=start)
    info = video_info(size=(1920, 1080), frame_count=600)
    return make_delivery(folder, frames, every=1, info=info, models=[replace(model, objects=objects)], name="m.mp4")


@pytest.mark.parametrize(("kind", "frames"), [("boxes", FRAMES), ("masks", 600)])
def test_a_video_in_flight_takes_ten_megabytes(kind: str, frames: int) -> None:
    """What the process holds at most while it delivers, beyond the predictions themselves."""
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, kind],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    written, grown = map(int, done.stdout.split())
    print(f"\n{kind}: {written:,} frames, at most {grown / 1024:.1f} MiB more while they are delivered")
    assert frames == written
    assert grown * 1024 <= 10e6
