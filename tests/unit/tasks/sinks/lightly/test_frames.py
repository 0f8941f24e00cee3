"""Which inferred frame speaks for which frame."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sinks.lightly.frames import Fill, frames_in, sources


def filled(at: list[int], looked: list[bool], count: int, fill: Fill, reach: int = 99) -> list[int]:
    found: list[int] = sources(np.array(at, np.int64), np.array(looked, np.bool_), count, fill, reach).tolist()
    return found


@pytest.mark.parametrize(
    ("fill", "reach", "expected"),
    [
        ("none", 99, [-1, 0, -1, -1, -1, 1, -1, -1]),
        ("hold", 99, [-1, 0, 0, 0, 0, 1, 1, 1]),
        ("hold", 2, [-1, 0, 0, 0, -1, 1, 1, 1]),
        ("nearest", 99, [0, 0, 0, 0, 1, 1, 1, 1]),  # frame 3 is as near to 1 as to 5
        ("nearest", 1, [0, 0, 0, -1, 1, 1, 1, -1]),
        ("nearest", 0, [-1, 0, -1, -1, -1, 1, -1, -1]),
    ],
)
def test_frames_between_get_what_was_asked_for(fill: Fill, reach: int, expected: list[int]) -> None:
    """Samples at frames 1 and 5 of 8."""
    assert expected == filled([1, 5], [True, True], 8, fill, reach)


@pytest.mark.parametrize(
    ("fill", "expected"), [("none", [0, -1, -1, -1, 2]), ("hold", [0, 0, 0, 0, 2]), ("nearest", [0, 0, 0, 2, 2])]
)
def test_a_frame_that_was_not_looked_at_says_nothing(fill: Fill, expected: list[int]) -> None:
    """The sample at frame 2 failed: it gets a neighbour's predictions or none, never an empty file."""
    assert expected == filled([0, 2, 4], [True, False, True], 5, fill)


@pytest.mark.parametrize("fill", ["none", "hold", "nearest"])
@pytest.mark.parametrize(("at", "looked"), [([], []), ([1], [False]), ([0, 3], [False, False])])
def test_without_a_sample_no_frame_has_a_source(fill: Fill, at: list[int], looked: list[bool]) -> None:
    """Nothing to copy."""
    assert [-1] * 4 == filled(at, looked, 4, fill)


@settings(deadline=None)
@given(st.data(), st.integers(1, 60), st.sampled_from(["none", "hold", "nearest"]), st.integers(0, 20))
def test_a_source_is_what_a_search_finds(data: st.DataObject, count: int, fill: Fill, reach: int) -> None:
    """The same as looking at every sample for every frame."""
    at = sorted(data.draw(st.sets(st.integers(0, count - 1), max_size=12)))
    looked = data.draw(st.lists(st.booleans(), min_size=len(at), max_size=len(at)))
    expected = []
    for frame in range(count):
        near = [
            (abs(frame - there), position)
            for position, there in enumerate(at)
            if looked[position]
            and abs(frame - there) <= (0 if fill == "none" else reach)
            and (fill != "hold" or there <= frame)
        ]
        expected.append(min(near)[1] if near else -1)

    assert expected == filled(at, looked, count, fill, reach)


@pytest.mark.parametrize(
    ("seconds", "fps", "expected"),
    [(1, Fraction(30), 30), (1, Fraction(30000, 1001), 29), (0.5, Fraction(25), 12), (0, Fraction(25), 0)],
)
def test_a_duration_is_whole_frames(seconds: float, fps: Fraction, expected: int) -> None:
    """A frame that begins after the duration is not reached."""
    assert expected == frames_in(timedelta(seconds=seconds), fps)
