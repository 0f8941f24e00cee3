"""A million box keyframes to Labelbox' NDJSON: CPU against the SDK's own types, memory against the keyframes."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.domain.predictions import ModelPredictions
from tasks.sinks.base import Delivery
from tasks.sinks.labelbox.ndjson import Annotations, annotate
from tasks.sinks.labelbox.sink import write_lines
from tasks.sinks.labelbox.style import Style
from tests.contracts.deliveries import make_delivery, model_predictions, video_info

pytestmark = pytest.mark.bench

SAMPLES, AT_ONCE, LONG = 2_000, 500, 250  # samples of a video, objects in each, samples that an object is seen
CLASSES = ("person", "car", "bicycle", "footwear")
SAMPLED = 40  # objects that the SDK converts
NO_THINNING = Style(keyframe_tolerance=0)


def crowded(folder: Path, samples: int) -> Delivery:
    """A video in which 500 jittery objects are seen at any time, so that every detection is a keyframe."""
    random = np.random.default_rng(0)
    count = samples * AT_ONCE
    sample = np.repeat(np.arange(samples, dtype=np.int32), AT_ONCE)
    track = sample // LONG * AT_ONCE + np.tile(np.arange(AT_ONCE), samples) + 1
    centre = random.uniform(100, 900, (int(track.max()) + 1, 2))[track] + random.normal(0, 5, (count, 2))
    objects = model_predictions([[]]).objects
    columns: dict[str, Any] = {
        "sample": sample,
        "box": np.hstack((centre, random.uniform(20, 60, (count, 2)))).astype(np.float32),
        "confidence": random.uniform(0.3, 1, count).astype(np.float32),
        "class_code": (track % len(CLASSES)).astype(np.int32),
        "track": track.astype(np.int64),
        "polygon_start": np.zeros(count + 1, np.int64),
        "keypoint_start": np.zeros(count + 1, np.int64),
    }
    every = {name: getattr(objects, name) for name in objects.__slots__} | columns
    seen = model_predictions([[]] * samples, size=(1920, 1080))
    model = {name: getattr(seen, name) for name in seen.__slots__}
    model |= {"objects": type(objects)(**every), "classes": CLASSES, "class_ids": tuple(range(len(CLASSES)))}
    info = video_info(size=(1920, 1080), frame_count=10 * samples)
    return make_delivery(folder, [[]] * samples, info=info, every=10, models=[ModelPredictions(**model)])


def by_the_sdk(lines: list[dict[str, Any]], key: str) -> int:
    """Convert boxes as Labelbox documents it, a Label per object (it would merge two of a name); return keyframes."""
    from labelbox import types
    from labelbox.data.serialization import NDJsonConverter

    labels = []
    for line in lines:
        boxes = [
            types.VideoObjectAnnotation(
                name=line["name"],
                keyframe=True,
                frame=keyframe["frame"],
                segment_index=index,
                value=types.Rectangle(
                    start=types.Point(x=box["left"], y=box["top"]),
                    end=types.Point(x=box["left"] + box["width"], y=box["top"] + box["height"]),
                ),
            )
            for index, segment in enumerate(line["segments"])
            for keyframe in segment["keyframes"]
            for box in [keyframe["bbox"]]
        ]
        labels.append(types.Label(data={"global_key": key}, annotations=boxes))
    text = "\n".join(json.dumps(line) for line in NDJsonConverter.serialize(labels))
    return text.count('"frame"')


def test_a_million_keyframes_cost_a_twentieth_of_the_sdks(tmp_path: Path) -> None:
    """From tracked columns to a file; the SDK is given the same boxes, and its imports for nothing."""
    delivery = crowded(tmp_path, SAMPLES)
    target = tmp_path / "lines.ndjson"
    begun = time.process_time()
    made = annotate(delivery, NO_THINNING)
    annotated = time.process_time() - begun
    write_lines(made.lines, target)
    ours = time.process_time() - begun
    assert made.counts["keyframes"] == SAMPLES * AT_ONCE

    with target.open() as file:
        lines = [json.loads(line) for line, _ in zip(file, range(SAMPLED), strict=False)]
    by_the_sdk(lines[:1], "warm")
    begun = time.process_time()
    keyframes = by_the_sdk(lines, lines[0]["dataRow"]["globalKey"])
    theirs = time.process_time() - begun

    assert keyframes == sum(len(segment["keyframes"]) for line in lines for segment in line["segments"])
    ours_us, theirs_us = ours / made.counts["keyframes"] * 1e6, theirs / keyframes * 1e6
    print(
        f"\n{made.counts['keyframes']} keyframes: {ours:.2f} s CPU ({annotated:.2f} to make, "
        f"{ours - annotated:.2f} to write), {ours_us:.2f} us each; lb_types {theirs_us:.1f} us each "
        f"({keyframes} sampled): {theirs_us / ours_us:.1f} x"
    )
    assert theirs_us >= 20 * ours_us


def peak_of(made: Annotations, target: Path) -> int:
    """Bytes that writing the lines takes at most."""
    tracemalloc.start()
    try:
        write_lines(made.lines, target)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_columns_and_of_one_line(tmp_path: Path) -> None:
    """Eight times the keyframes take no more to write; to make them, numbers and not objects."""
    peaks = []
    for samples in (SAMPLES // 8, SAMPLES):
        delivery = crowded(tmp_path, samples)
        tracemalloc.start()
        made = annotate(delivery, NO_THINNING)
        making = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        peaks.append(peak_of(made, tmp_path / "lines.ndjson"))
    per_keyframe = making / (SAMPLES * AT_ONCE)
    print(
        f"\npeak to write {peaks[0] / 1e6:.2f} MB for 125,000 keyframes, {peaks[1] / 1e6:.2f} MB for 1,000,000; "
        f"to make {making / 1e6:.0f} MB, {per_keyframe:.0f} bytes a keyframe"
    )
    assert peaks[1] <= 2 * peaks[0]
    assert peaks[1] < 2_000_000
    # The columns that came are 60 bytes each; a keyframe as Python objects is 400.
    assert per_keyframe < 300
