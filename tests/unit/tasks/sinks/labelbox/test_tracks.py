"""Each object is one line, with a segment for each time that it is seen."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sinks.base import Delivery
from tasks.sinks.labelbox import ndjson
from tasks.sinks.labelbox.sink import LabelboxFileSink
from tasks.sinks.labelbox.style import Style
from tests.contracts.deliveries import Box, Frames, make_delivery
from tests.contracts.memory_storage import MemoryStorage
from tests.unit.tasks.sinks.labelbox.strict_reader import check_lines, deliver, seen, spans


def test_one_object_is_one_line(tmp_path: Path) -> None:
    """Two people of one class stay two, ordered by when they are first seen."""
    lines, _ = deliver(tmp_path, [[seen(7)], [seen(3), seen(7)], [seen(3)]])

    assert [[[1, 7]], [[7, 13]]] == [spans(line) for line in lines]


def test_detections_without_a_track_are_objects_of_one_frame(tmp_path: Path) -> None:
    """Nobody said that they are the same thing."""
    lines, _ = deliver(tmp_path, [[seen(-1), seen(-1, x=100)], [seen(-1)]])

    assert [[[1]], [[1]], [[7]]] == [spans(line) for line in lines]


def test_a_track_that_claims_two_boxes_in_a_frame_keeps_the_surer(tmp_path: Path) -> None:
    """A frame has one keyframe of an object."""
    ((line,), _) = deliver(tmp_path, [[seen(x=100, confidence=0.3), seen(x=200, confidence=0.9)]])

    assert [180.0] == [k["bbox"]["left"] for s in line["segments"] for k in s["keyframes"]]


def test_an_object_has_the_class_it_was_surest_seen_as(tmp_path: Path) -> None:
    """And the receipt says that it changed."""
    frames = [[seen(name="ball", confidence=0.9)], [seen(confidence=0.5)], [seen(confidence=0.5)]]

    ((line,), receipt) = deliver(tmp_path, frames)

    assert "player" == line["name"]
    assert "1 object changes its class" in receipt.warnings[0]


def test_features_can_have_other_names_than_classes(tmp_path: Path) -> None:
    """A class that is not mapped keeps its name."""
    lines, _ = deliver(tmp_path, [[seen(), seen(2, name="ball")]], sink={"classes": {"player": "Spieler (rot)"}})

    assert ["Spieler (rot)", "ball"] == sorted(line["name"] for line in lines)


def test_a_long_absence_ends_the_segment(tmp_path: Path) -> None:
    """Where the object was last seen; it is the same object when it comes back."""
    away: Frames = [[seen()], [seen()], *[[]] * 6, [seen()]]

    ((line,), _) = deliver(tmp_path, away, sink={"max_gap": timedelta(seconds=1)})

    assert [[1, 7], [49]] == spans(line)


@pytest.mark.parametrize("between", [[[], [], []], [None, [], None], [None] * 9])
def test_a_short_absence_and_frames_nobody_looked_at_are_bridged(tmp_path: Path, between: list[Any]) -> None:
    """One segment from first to last sight; Labelbox interpolates between."""
    ((line,), _) = deliver(tmp_path, [[seen()], *between, [seen()]], sink={"max_gap": timedelta(seconds=1)})

    assert [[1, 6 * len(between) + 7]] == spans(line)


def test_a_detection_under_the_threshold_is_an_absence(tmp_path: Path) -> None:
    """Doubtful frames in the middle do not end the object, at its end they are not part of it."""
    frames = [[seen()], [seen(confidence=0.1)], [seen()], [seen(confidence=0.1)]]

    ((line,), _) = deliver(tmp_path, frames, sink={"min_confidence": 0.3})

    assert [[1, 13]] == spans(line)


def test_without_times_the_frame_rate_tells_them(tmp_path: Path) -> None:
    """A service may leave times out."""
    delivery = make_delivery(tmp_path, [[seen()], *[[]] * 6, [seen()]])
    blind = replace(delivery, predictions=replace(delivery.predictions, time_s=np.full(8, np.nan)))
    for one in (delivery, blind):
        store = MemoryStorage()
        LabelboxFileSink(store, Style(max_gap=timedelta(seconds=1))).deliver(one)

        assert [[1], [43]] == spans(check_lines(store.read("cup/final.mp4.ndjson"), one)[0])


def boxes_between(line: dict[str, Any]) -> dict[int, tuple[float, ...]]:
    """What Labelbox would show at every frame: straight lines between a segment's keyframes."""
    shown: dict[int, tuple[float, ...]] = {}
    for segment in line["segments"]:
        keyframes = [(k["frame"], k["bbox"]) for k in segment["keyframes"]]
        edges = [(b["left"], b["top"], b["left"] + b["width"], b["top"] + b["height"]) for _, b in keyframes]
        frames = [frame for frame, _ in keyframes]
        for frame in range(frames[0], frames[-1] + 1):
            shown[frame] = tuple(float(np.interp(frame, frames, column)) for column in zip(*edges, strict=True))
    return shown


positions = st.floats(-200, 900, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.lists(
                st.builds(
                    Box,
                    *[positions] * 2,
                    *[st.floats(0, 700, width=32)] * 2,
                    st.sampled_from(["player", "ball"]),
                    st.floats(0, 1, width=32),
                    st.integers(-1, 2),
                ),
                max_size=3,
                unique_by=lambda box: box.track if box.track >= 0 else object(),
            ),
        ),
        max_size=12,
    ),
    st.sampled_from([0.0, 0.5, 2.0, 30.0]),
    st.sampled_from([0.1, 0.5, 60.0]),
)
def test_labelbox_shows_every_detection_within_the_tolerance(
    tmp_path_factory: pytest.TempPathFactory, frames: Frames, tolerance: float, max_gap_s: float
) -> None:
    """Interpolated boxes are where the model saw them, and none is shown before or after the object."""
    store = MemoryStorage()
    delivery = make_delivery(tmp_path_factory.getbasetemp(), frames)
    sink = LabelboxFileSink(store, Style(keyframe_tolerance=tolerance, max_gap=timedelta(seconds=max_gap_s)))

    receipt = sink.deliver(delivery)

    lines = check_lines(store.read("cup/final.mp4.ndjson"), delivery)
    expected = sightings(frames, delivery)
    assert set(expected) == {line["uuid"] for line in lines}
    assert receipt.counts["objects"] == len(lines)
    for line in lines:
        shown, ours = boxes_between(line), expected[line["uuid"]]
        assert (min(ours), max(ours)) == (min(shown), max(shown))
        for frame, (left, top, right, bottom) in ours.items():
            # Boxes are rounded to a tenth of a pixel, and slivers widened to a pixel.
            widened = 1.0 if min(right - left, bottom - top) < 1 else 0.0
            assert np.abs(np.subtract((left, top, right, bottom), shown[frame])).max() <= tolerance + widened + 0.0501


def sightings(frames: Frames, delivery: Delivery) -> dict[str, dict[int, tuple[float, float, float, float]]]:
    """Each object's boxes in the picture by Labelbox' frame number, by the object's uuid."""
    found: dict[str, dict[int, tuple[float, float, float, float]]] = {}
    row = -1
    for sample, boxes in enumerate(frames):
        for box in boxes or ():
            row += 1
            edges = [box.x - box.width / 2, box.y - box.height / 2, box.x + box.width / 2, box.y + box.height / 2]
            if edges[0] >= 640 or edges[1] >= 360 or edges[2] <= 0 or edges[3] <= 0:
                continue
            number = box.track if box.track >= 0 else -1 - row
            name = uuid.uuid5(ndjson._NAMESPACE, f"{delivery.job_key}/football/{number}")
            left, top, right, bottom = np.clip(edges, 0, [640, 360, 640, 360]).tolist()
            found.setdefault(str(name), {})[sample * 6 + 1] = (left, top, right, bottom)
    return found
