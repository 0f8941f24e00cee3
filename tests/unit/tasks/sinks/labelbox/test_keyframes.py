"""Segments and keyframes."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.predictions import Int64
from tasks.sinks.labelbox.keyframes import Part, keyframes, segment_bounds


def track(*edges: int) -> tuple[Int64, Int64]:
    """A track at frames 0, 6, 12, … whose four edges are alike."""
    column = np.array(edges, np.int64)[:, None]
    return np.arange(len(edges), dtype=np.int64) * 6, np.repeat(column, 4, axis=1)


@pytest.mark.parametrize(
    ("edges", "tolerance", "expected"),
    [
        ((5,), 0, [0]),
        ((5, 9), 0, [0, 1]),
        ((5, 5, 5, 5), 0, [0, 3]),
        ((0, 10, 20, 30), 0, [0, 3]),
        ((0, 10, 21, 30), 0, [0, 1, 2, 3]),
        ((0, 10, 21, 30), 1, [0, 3]),
        ((0, 0, 50, 0, 0), 0, [0, 1, 2, 3, 4]),
        ((0, 0, 50, 0, 0), 24, [0, 1, 2, 3, 4]),
        ((0, 0, 50, 0, 0), 25, [0, 2, 4]),
        ((0, 0, 50, 0, 0), 50, [0, 4]),
    ],
)
def test_boxes_on_a_straight_line_are_left_out(edges: tuple[int, ...], tolerance: int, expected: list[int]) -> None:
    """First and last stay; between them only what a line would miss by more than the tolerance."""
    (kept,) = keyframes([Part(*track(*edges))], tolerance)

    assert expected == kept.tolist()


def test_a_long_straight_track_keeps_hardly_any() -> None:
    """An object that stands still for an hour at 5 frames a second."""
    (kept,) = keyframes([Part(*track(*[7] * 18_000))], 0)

    assert 19 == len(kept)


@st.composite
def tracks(draw: st.DrawFn) -> tuple[Int64, Int64]:
    frames = sorted(draw(st.sets(st.integers(0, 200_000), min_size=1, max_size=30)))
    edge = st.integers(0, 40_000) if draw(st.booleans()) else st.integers(0, 30)
    edges = draw(st.lists(st.tuples(edge, edge, edge, edge), min_size=len(frames), max_size=len(frames)))
    return np.array(frames, np.int64), np.array(edges, np.int64)


@settings(max_examples=200, deadline=None)
@given(st.lists(tracks(), min_size=1, max_size=5), st.integers(0, 60))
def test_interpolation_gives_every_box_back_within_the_tolerance(
    cases: list[tuple[Int64, Int64]], tolerance: int
) -> None:
    """Exactly, in fractions: no edge of any box that was left out is off by more."""
    parts = [Part(*case) for case in cases]

    found = list(keyframes(parts, tolerance))

    assert len(parts) == len(found)
    for part, kept in zip(parts, found, strict=True):
        check(part.frame, part.place, kept.tolist(), tolerance)


def check(frame: Int64, edges: Int64, kept: list[int], tolerance: int) -> None:
    assert sorted(set(kept)) == kept
    assert (0, len(frame) - 1) == (kept[0], kept[-1])
    for first, last in pairwise(kept):
        for position in range(first + 1, last):
            passed = Fraction(int(frame[position] - frame[first]), int(frame[last] - frame[first]))
            for edge in range(4):
                a, b = int(edges[first, edge]), int(edges[last, edge])
                assert abs(a + (b - a) * passed - int(edges[position, edge])) <= tolerance


@pytest.mark.parametrize(
    ("sample", "inferred", "max_gap_s", "expected"),
    [
        ([0, 1, 2], "1111", 1, [(0, 3)]),
        ([0, 3], "1111", 3, [(0, 2)]),  # as long as allowed
        ([0, 3], "1111", 2.9, [(0, 1), (1, 2)]),
        ([0, 3], "1001", 2.9, [(0, 2)]),  # nobody looked in between
        ([0, 3], "1011", 2.9, [(0, 1), (1, 2)]),
        ([0, 1, 2, 3], "1111", 0.5, [(0, 4)]),  # samples further apart than the gap
        ([0, 2, 3, 5], "111111", 1, [(0, 1), (1, 3), (3, 4)]),
        ([0, 2, 4], "1x111", 9, [(0, 1), (1, 3)]),  # the picture has another shape in between
        ([4], "11111", 1, [(0, 1)]),
    ],
)
def test_a_track_is_cut_where_the_object_was_missed_for_too_long(
    sample: list[int], inferred: str, max_gap_s: float, expected: list[tuple[int, int]]
) -> None:
    """A sample a second; ``1`` was inferred, ``0`` was not; ``x`` was, and then left out."""
    looked, left_out = (np.array([flag in flags for flag in inferred]) for flags in ("1x", "x"))
    times = np.arange(len(inferred), dtype=np.float64)

    found = segment_bounds(np.array(sample, np.int64), times, looked, max_gap_s, left_out)

    assert expected == [(part.start, part.stop) for part in found]


def test_rounded_times_do_not_cut() -> None:
    """0.6 s minus 0.4 s is a little more than 0.2 s."""
    times, sample = np.array([0.0, 0.4, 0.5, 0.6000001]), np.array([1, 3], np.int64)

    assert 1 == len(segment_bounds(sample, times, np.ones(4, np.bool_), 0.2, np.zeros(4, np.bool_)))
