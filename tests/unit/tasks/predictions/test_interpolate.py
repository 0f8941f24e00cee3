from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.predictions.interpolate import Interpolator
from tasks.predictions.track import assign_tracks
from tests.unit.tasks.predictions.samples import box, frame, parsed, results


def interpolator(*frames: Any, step: int = 6) -> Interpolator:
    """Of one model whose detections say themselves who they are."""
    found = assign_tracks(parsed(results(*frames, step=step)))
    return Interpolator(found.models[0], found.frame_index)


def seen(x: float, track: int = 1, **more: Any) -> dict[str, Any]:
    return box(x, tracker_id=track, **more)


def xs(at: Interpolator, frames: range) -> list[list[float]]:
    """Where the centres are, frame by frame."""
    return [at.at(index)[1][:, 0].tolist() for index in frames]


def test_between_two_sightings_the_box_moves_linearly() -> None:
    """Every number of the box goes in equal steps."""
    at = interpolator(frame(seen(100)), frame(seen(160, y=80, width=52, height=26)), step=6)
    expected = [[100 + 10 * k, 50 + 5 * k, 40 + 2 * k, 20 + k] for k in range(7)]
    for index, numbers in enumerate(expected):
        rows, boxes = at.at(index)
        assert [0 if index <= 3 else 1] == rows.tolist()
        np.testing.assert_allclose([numbers], boxes, rtol=1e-6)


def test_on_its_own_frame_a_sample_is_as_it_was_inferred() -> None:
    """Nothing is smoothed: the boxes are the detections, bit for bit."""
    numbers = [100.1, 133.3, 90.7]
    at = interpolator(*(frame(seen(x)) for x in numbers))
    for sample, x in enumerate(numbers):
        rows, boxes = at.at(6 * sample)
        assert ([sample], [[np.float32(x), 50, 40, 20]]) == (rows.tolist(), boxes.tolist())


def test_a_frame_half_way_belongs_to_the_earlier_sample() -> None:
    """Rows name the nearer sighting; of two equally near the earlier."""
    at = interpolator(frame(seen(0)), frame(seen(6)))
    assert [0, 0, 0, 0, 1, 1, 1] == [at.at(index)[0].tolist()[0] for index in range(7)]


def test_samples_that_were_not_inferred_are_bridged() -> None:
    """However many they are: the model did not look."""
    at = interpolator(frame(seen(0)), *[None] * 19, frame(seen(120)), step=6)
    assert [[float(index)] for index in range(121)] == xs(at, range(121))


def test_one_sample_that_missed_the_object_is_bridged_at_any_distance() -> None:
    """Also at a sample in two seconds."""
    at = interpolator(frame(seen(0)), frame(), frame(seen(100)), step=50)
    assert [[float(index)] for index in range(101)] == xs(at, range(101))


@pytest.mark.parametrize(("misses", "bridged"), [(4, True), (5, False)])
def test_several_misses_are_bridged_for_about_a_second(misses: int, bridged: bool) -> None:
    """Up to 30 frames the box goes on; over more it is not drawn in the middle."""
    at = interpolator(frame(seen(0)), *[frame()] * misses, frame(seen(90)), step=6)
    middle = 6 * (misses + 1) // 2
    assert bridged == bool(xs(at, range(middle, middle + 1))[0])


def test_a_single_sighting_stays_for_one_sample() -> None:
    """It is shown for as many frames as samples are apart, around its own: never for one frame alone."""
    at = interpolator(frame(), frame(seen(100)), frame(), frame())
    assert [index in range(4, 10) for index in range(30)] == [bool(found) for found in xs(at, range(30))]


def test_the_ends_of_a_track_stand_still() -> None:
    """Nothing is extrapolated, and nothing is shown half a sample beyond the last sighting."""
    at = interpolator(frame(), frame(seen(100)), frame(seen(160)), frame(), frame(), step=5)
    assert [[], [], [], [100.0], [100.0], [100.0]] == xs(at, range(6))
    assert [[160.0], [160.0], [160.0], [], []] == xs(at, range(10, 15))


def test_a_gap_is_held_from_both_sides() -> None:
    """Between two parts of a track each stays where it was."""
    at = interpolator(frame(seen(0)), *[frame()] * 9, frame(seen(90)), step=6)
    assert [[0.0]] * 4 + [[]] * 54 + [[90.0]] * 3 == xs(at, range(61))


def test_samples_of_uneven_distance_are_interpolated_by_frame() -> None:
    """Frame indices are approximate where the rates do not divide."""
    content = results(frame(seen(0)), frame(seen(5)), frame(seen(12)), frame_offset=[0, 5, 12])
    found = assign_tracks(parsed(content))
    at = Interpolator(found.models[0], found.frame_index)
    assert [[float(index)] for index in range(13)] == xs(at, range(13))


def test_boxes_come_in_the_order_of_their_tracks() -> None:
    """However the service orders them, what is drawn last does not change from frame to frame."""
    at = interpolator(frame(seen(1, 1), seen(2, 2)), frame(seen(2, 2), seen(1, 1)))
    assert [[1.0, 2.0]] * 7 == xs(at, range(7))


def test_detections_without_a_track_stand_for_themselves() -> None:
    """None is joined to another."""
    found = parsed(results(frame(box(0)), frame(box(60))))
    at = Interpolator(found.models[0], found.frame_index)
    assert [[0.0]] * 4 + [[60.0]] * 3 == xs(at, range(7))


@pytest.mark.parametrize("frames", [[None], [frame()], [None, frame(), None]])
def test_a_video_without_objects_has_no_boxes(frames: list[Any]) -> None:
    """No frame of it, nor any frame beyond."""
    at = interpolator(*frames)
    for index in (-5, 0, 3, 1000):
        rows, boxes = at.at(index)
        assert ((0,), (0, 4), "int64", "float32") == (rows.shape, boxes.shape, rows.dtype.name, boxes.dtype.name)


def test_a_video_of_one_sample_shows_it_for_a_while() -> None:
    """With nothing to tell the distance of samples, half a second."""
    at = interpolator(frame(seen(7)))
    assert [True, True, False] == [bool(len(at.at(index)[0])) for index in (0, 15, 16)]


tracked_frames = st.lists(
    st.one_of(
        st.none(),
        st.lists(st.tuples(st.integers(0, 600), st.integers(1, 4)), max_size=4, unique_by=lambda one: one[1]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(tracked_frames, st.integers(1, 40))
def test_no_object_is_in_two_places_or_outside_its_sightings(frames: list[Any], step: int) -> None:
    """On every frame each track has at most one box, between those of its sightings; at samples all are exact."""
    made = [None if found is None else frame(*(seen(x, track) for x, track in found)) for found in frames]
    found = assign_tracks(parsed(results(*made, step=step)))
    objects = found.models[0].objects
    at = Interpolator(found.models[0], found.frame_index)
    for index in range(-step, step * len(frames) + 1):
        rows, boxes = at.at(index)
        track = objects.track[rows]
        assert sorted(set(track.tolist())) == track.tolist()
        for one, box_there in zip(track, boxes, strict=True):
            own = objects.box[objects.track == one]
            assert (own.min(axis=0) <= box_there).all()
            assert (box_there <= own.max(axis=0)).all()
    for sample, index in enumerate(found.frame_index.tolist()):
        exact = set(np.flatnonzero(objects.sample == sample).tolist())
        rows, boxes = at.at(index)
        assert exact <= set(rows.tolist())
        assert objects.box[[*exact]].tolist() == [boxes[rows.tolist().index(row)].tolist() for row in exact]


@settings(max_examples=50, deadline=None)
@given(tracked_frames, st.integers(1, 12))
def test_nothing_flickers(frames: list[Any], step: int) -> None:
    """A box that is drawn is drawn for at least as many frames in a row as samples are apart."""
    made = [None if found is None else frame(*(seen(x, track) for x, track in found)) for found in frames]
    found = assign_tracks(parsed(results(*made, step=step)))
    model = found.models[0]
    spread = replace(model, inferred=np.ones_like(model.inferred))
    at = Interpolator(spread, found.frame_index)
    shown: dict[int, list[int]] = {}
    for index in range(-step, step * len(frames) + 1):
        for track in model.objects.track[at.at(index)[0]].tolist():
            shown.setdefault(track, []).append(index)
    for indices in shown.values():
        runs = np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1)
        assert all(len(run) >= step for run in runs)
