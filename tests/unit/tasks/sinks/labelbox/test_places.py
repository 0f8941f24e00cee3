"""Points and polylines of objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.errors import DeliveryFailed
from tasks.sinks.labelbox.ndjson import annotate
from tasks.sinks.labelbox.outlines import aligned, even_corners
from tasks.sinks.labelbox.style import ClassStyle, Kind, ModelStyle, Style
from tests.contracts.deliveries import video_info
from tests.unit.tasks.sinks.labelbox.sightings import gaze, looking, pets, results, skeleton, thing
from tests.unit.tasks.sinks.labelbox.strict_reader import annotated, inferred


def keyframes(line: dict[str, Any], kind: str) -> list[list[tuple[Any, ...]]]:
    """Of each segment, frame and coordinates of its keyframes."""

    def places(one: Any) -> tuple[float, ...]:
        return (one["x"], one["y"])

    return [
        [
            (k["frame"], *(places(k["point"]) if kind == "point" else tuple(map(places, k["line"]))))
            for k in segment["keyframes"]
        ]
        for segment in line["segments"]
    ]


def test_keypoints_are_points_beside_the_box(tmp_path: Path) -> None:
    """One tool each; a point of confidence 0, or none, is a gap of that point alone."""
    frames = [
        [thing(100, 100, keypoints=skeleton(("nose", 95.04, 70, 0.9), ("tail", 110, 130, 0.9)))],
        [thing(106, 100, keypoints=skeleton(("nose", 101.04, 70, 0.9), ("tail", 0, 0, 0.0)))],
        [thing(112, 100, keypoints=skeleton(("nose", 107.04, 70, 0.9)))],
        [thing(118, 100, keypoints=skeleton(("nose", 113.04, 76, 0.9), ("tail", 128, 130, 0.9)))],
    ]
    style = Style(keyframe_tolerance=0, max_gap=timedelta(seconds=0.5))

    made = annotated(inferred(tmp_path, results(*frames)), style)

    assert {"dog", "dog nose", "dog tail"} == set(made)
    assert [[(1, 95.0, 70.0), (13, 107.0, 70.0), (19, 113.0, 76.0)]] == keyframes(made["dog nose"][0], "point")
    assert [[(1, 110.0, 130.0)], [(19, 128.0, 130.0)]] == keyframes(made["dog tail"][0], "point")


def test_keypoints_beyond_the_picture_are_gaps(tmp_path: Path) -> None:
    """One that is a pixel beyond is on the edge; the receipt counts the others."""
    frames = [
        [thing(20, 100, keypoints=skeleton(("nose", -0.5, 70, 0.9)))],
        [thing(20, 100, keypoints=skeleton(("nose", -9, 70, 0.9)))],
    ]
    delivery = inferred(tmp_path, results(*frames))

    assert [[(1, 0.0, 70.0)]] == keyframes(annotated(delivery)["dog nose"][0], "point")
    assert 1 == annotate(delivery, Style()).counts["keypoints_outside"]


def test_two_of_a_class_stay_two_with_their_points(tmp_path: Path) -> None:
    """Two people who cross are two boxes and two noses."""
    frames = [
        [
            thing(100 + 6 * i, 100, tracker_id=1, keypoints=skeleton(("nose", 100 + 6 * i, 70, 0.9))),
            thing(400 - 6 * i, 110, tracker_id=2, keypoints=skeleton(("nose", 400 - 6 * i, 80, 0.9))),
        ]
        for i in range(5)
    ]

    made = annotated(inferred(tmp_path, results(*frames)))

    assert [2, 2] == [len(made["dog"]), len(made["dog nose"])]
    assert {((1, 100.0, 70.0), (25, 124.0, 70.0)), ((1, 400.0, 80.0), (25, 376.0, 80.0))} == {
        tuple(keyframes(line, "point")[0]) for line in made["dog nose"]
    }


@pytest.mark.parametrize(
    ("inferred_size", "rotation", "expected"),
    [
        ((640, 360), 0, (100.0, 50.0)),
        ((320, 180), 0, (200.0, 100.0)),
        ((360, 640), 90, (100.0, 50.0)),  # the service turned it upright
        ((640, 360), 90, (50.0, 540.0)),  # it did not
        ((640, 360), 270, (310.0, 100.0)),
        ((640, 360), 180, (100.0, 50.0)),
    ],
)
def test_points_are_those_of_the_upright_picture(
    tmp_path: Path, inferred_size: tuple[int, int], rotation: int, expected: tuple[float, float]
) -> None:
    """Scaled and turned as boxes are."""
    frame = [thing(100, 60, keypoints=skeleton(("nose", 100, 50, 0.9)))]
    delivery = inferred(tmp_path, results(frame, size=inferred_size), info=video_info(rotation=rotation))

    assert [[(1, *expected)]] == keyframes(annotated(delivery)["dog nose"][0], "point")


def test_features_of_keypoints_can_be_named(tmp_path: Path) -> None:
    """For the model, or for one class with its box."""
    frame = [thing(100, 100, keypoints=skeleton(("nose", 95, 70, 0.9), ("tail", 110, 130, 0.9)))]
    tools = ClassStyle(tools={Kind.BOX: "Dog", Kind.POINTS: ""}, keypoints={"nose": "Nose"})
    style = Style(classes={"dog": tools}, models={"pets": ModelStyle(keypoints={"tail": "Tail"})})

    assert {"Dog", "Nose", "Tail"} == set(annotated(inferred(tmp_path, results(frame)), style))


SQUARE: list[dict[str, float]] = [{"x": 100, "y": 50}, {"x": 100, "y": 90}, {"x": 140, "y": 90}, {"x": 140, "y": 50}]


def moved(outline: list[dict[str, float]], by: float) -> list[dict[str, float]]:
    return [{"x": point["x"] + by, "y": point["y"]} for point in outline]


def test_an_outline_is_a_closed_line_of_so_many_corners(tmp_path: Path) -> None:
    """From the top left, clockwise, wherever the service began and which way it went; beside the box."""
    second = moved(SQUARE[2:] + SQUARE[:2], 12)
    frames = [[thing(120, 70, points=SQUARE)], [thing(132, 70, points=second[::-1])]]

    made = annotated(inferred(tmp_path, results(*frames)), pets(kinds=(Kind.BOX, Kind.OUTLINE), vertices=8))

    corners = [(100, 50), (120, 50), (140, 50), (140, 70), (140, 90), (120, 90), (100, 90), (100, 70), (100, 50)]
    ((first, last),) = keyframes(made["dog outline"][0], "line")
    assert (1, *corners) == first
    assert (7, *((x + 12, y) for x, y in corners)) == last
    assert 1 == len(made["dog"])


def test_no_corner_travels_around_an_outline(tmp_path: Path) -> None:
    """The topmost corner of a tilting shape is another one each time; its corners stay where they are on it."""
    tilted = [dict(point) for point in SQUARE]
    tilted[3]["y"] = 48  # the top right corner is now the highest
    frames = [[thing(120, 70, points=SQUARE)], [thing(120, 70, points=tilted)]]

    made = annotated(inferred(tmp_path, results(*frames)), pets(kinds=(Kind.OUTLINE,), vertices=4))

    (segment,) = keyframes(made["dog"][0], "line")
    assert [(1, 7)] == [(segment[0][0], segment[1][0])]
    assert np.abs(np.subtract(segment[0][1:], segment[1][1:])).max() <= 3


def test_a_run_length_mask_has_an_outline(tmp_path: Path) -> None:
    """Of 4 by 6 pixels, columns first: a block of two rows and four columns."""
    mask = {"size": [4, 6], "counts": [5, 2, 2, 2, 2, 2, 2, 2, 5]}
    frame = [{"x": 3, "y": 2, "width": 4, "height": 2, "confidence": 0.9, "class": "dog", "rle": mask}]
    delivery = inferred(tmp_path, results(frame, size=(6, 4)), info=video_info(size=(6, 4)))

    ((line,),) = annotated(delivery, pets(kinds=(Kind.OUTLINE,), vertices=8)).values()

    ((keyframe,),) = keyframes(line, "line")
    assert {(x, y) for x in (1.0, 2.0, 3.0, 4.0) for y in (1.0, 2.0)} == set(keyframe[1:])


def test_a_class_can_be_a_point(tmp_path: Path) -> None:
    """The middle of its box; classes that are not named stay boxes."""
    frames = [[thing(100, 100), thing(300, 100, "cat")], [thing(106, 100)]]
    style = Style(classes={"dog": ClassStyle(tools={Kind.POINT: "Hund"})})

    made = annotated(inferred(tmp_path, results(*frames)), style)

    assert [[(1, 100.0, 100.0), (7, 106.0, 100.0)]] == keyframes(made["Hund"][0], "point")
    assert "bbox" in made["cat"][0]["segments"][0]["keyframes"][0]


def test_a_gaze_is_a_face_with_landmarks(tmp_path: Path) -> None:
    """By default without its direction."""
    made = annotated(inferred(tmp_path, looking(gaze(0, 0))))

    assert {"face", *(f"face landmark_{index}" for index in range(6))} == set(made)


@pytest.mark.parametrize(
    ("yaw", "pitch", "x", "end"),
    [
        (-math.pi / 2, 0.0, 300.0, (360.0, 200.0)),  # one and a half faces to the right
        (math.pi / 2, 0.0, 300.0, (240.0, 200.0)),
        (0.0, math.pi / 6, 300.0, (300.0, 170.0)),  # up by half of it
        (math.pi / 4, math.pi / 6, 300.0, (263.3, 170.0)),
        (-math.pi / 4, math.pi / 6, 630.0, (640.0, 191.8)),  # as far as the picture goes
        (0.0, 0.0, 300.0, (301.0, 200.0)),  # into the camera
        (0.0, 0.0, 640.0, (639.0, 200.0)),
    ],
)
def test_the_direction_of_a_gaze_is_a_line(
    tmp_path: Path, yaw: float, pitch: float, x: float, end: tuple[float, float]
) -> None:
    """From the middle of the face, within the picture, never of no length."""
    style = Style(models={"gaze": ModelStyle(kinds=(Kind.DIRECTION,))})

    ((line,),) = annotated(inferred(tmp_path, looking(gaze(yaw, pitch, x))), style).values()

    assert [[(1, (x, 200.0), end)]] == keyframes(line, "line")


def test_one_name_for_two_kinds_is_refused(tmp_path: Path) -> None:
    """An ontology has one feature of a name."""
    style = Style(classes={"dog": ClassStyle(tools={Kind.POINT: "pet"}), "cat": "pet"})

    with pytest.raises(DeliveryFailed, match="'pet' would be two things in the ontology: point and rectangle"):
        annotate(inferred(tmp_path, results([thing(100, 100), thing(300, 100, "cat")])), style)


coordinates = st.floats(-20, 700, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.tuples(coordinates, coordinates, st.sampled_from([0.0, 0.5, 1.0]))), max_size=12),
    st.sampled_from([0.0, 1.0, 20.0]),
    st.sampled_from([0.1, 0.5, 60.0]),
)
def test_labelbox_shows_every_keypoint_within_the_tolerance(
    tmp_path_factory: pytest.TempPathFactory,
    path: Sequence[tuple[float, float, float] | None],
    tolerance: float,
    max_gap_s: float,
) -> None:
    """Interpolated points are where the model saw them, and never before or after."""
    frames = [[thing(300, 200, tracker_id=1, keypoints=skeleton(("nose", *p)) if p else [])] for p in path]
    style = Style(keyframe_tolerance=tolerance, max_gap=timedelta(seconds=max_gap_s))
    # Something to know the kind of model by.
    first = [thing(300, 200, tracker_id=1, keypoints=skeleton(("tail", 1, 1, 1.0)))]
    delivery = inferred(tmp_path_factory.getbasetemp(), results(first, *frames))

    lines = annotated(delivery, style).get("dog nose", [])

    seen = {
        6 * index + 7: np.clip(p[:2], 0, (640, 360))
        for index, p in enumerate(path)
        if p and p[2] > 0 and -1 <= p[0] <= 641 and -1 <= p[1] <= 361
    }
    assert bool(seen) == bool(lines)
    shown: dict[int, tuple[float, float]] = {}
    for segment in (segment for line in lines for segment in keyframes(line, "point")):
        at, x, y = zip(*segment, strict=True)
        for frame in range(at[0], at[-1] + 1):
            shown[frame] = (float(np.interp(frame, at, x)), float(np.interp(frame, at, y)))
    assert not seen or (min(seen), max(seen)) == (min(shown), max(shown))
    for frame, place in seen.items():
        assert np.abs(np.subtract(shown[frame], place)).max() <= tolerance + 0.0501


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=3, max_size=12), st.integers(3, 40))
def test_corners_lie_on_the_outline(outline: list[tuple[int, int]], count: int) -> None:
    """As many as asked for, none beyond the outline's extent, whatever it looks like."""
    points = np.array(outline, np.float64)

    corners = even_corners(points, count)

    assert (count, 2) == corners.shape
    assert (corners >= points.min(axis=0) - 1e-9).all()
    assert (corners <= points.max(axis=0) + 1e-9).all()
    assert np.array_equal(corners, aligned(corners, corners)) or len(np.unique(corners, axis=0)) < count
