from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.domain.predictions import Predictions
from tasks.predictions.track import assign_tracks
from tests.unit.tasks.predictions.samples import box, frame, parsed, results
from tests.unit.tasks.predictions.scenes import idf1, make_scene, switches


def tracks(content: Any, **options: Any) -> list[list[int]]:
    """Track ids of the one model, by sample."""
    found = assign_tracks(parsed(content, **options))
    objects = found.models[0].objects
    return [objects.track[objects.sample == sample].tolist() for sample in range(len(found))]


# --- how well it follows ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fps", "fastest", "least_idf1", "most_switches"),
    [
        (10, 80, 0.95, 6),
        (10, 200, 0.91, 13),
        (5, 80, 0.94, 6),
        (5, 200, 0.78, 28),
        (2, 80, 0.89, 20),
        (2, 200, 0.65, 92),
    ],
)
def test_objects_keep_their_identity(fps: float, fastest: float, least_idf1: float, most_switches: float) -> None:
    """On scenes with misses, noise and false detections, identities hold at least this well on average."""
    scenes = [make_scene(seed, fps=fps, fastest=fastest) for seed in range(4)]
    found = [assign_tracks(scene.predictions).models[0].objects.track for scene in scenes]
    scores = [idf1(scene.identity, track) for scene, track in zip(scenes, found, strict=True)]
    changes = [switches(scene.identity, track) for scene, track in zip(scenes, found, strict=True)]
    print(f"{fps} fps, up to {fastest} px/s: IDF1 {np.mean(scores):.3f}, {np.mean(changes):.1f} switches")
    assert least_idf1 <= np.mean(scores)
    assert most_switches >= np.mean(changes)


def test_the_measures_know_good_from_bad() -> None:
    """IDF1 is 1 for the truth, and falls with a swap, a false track and a broken one."""
    truth = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    assert (1.0, 0) == (idf1(truth, truth + 7), switches(truth, truth + 7))
    swapped = np.array([1, 2, 1, 2, 2, 1, 2, 1])
    assert (0.5, 2) == (idf1(truth, swapped), switches(truth, swapped))
    assert 1.0 > idf1(np.array([0, 0, -1]), np.array([1, 1, 2]))
    assert 1 == switches(np.array([0, 0, 0]), np.array([1, 2, 2]))


def test_a_track_goes_on_behind_an_obstacle() -> None:
    """An object that is hidden for a second is the same one where its speed takes it."""
    moving = [frame(box(100 + 10 * k)) if not 8 <= k < 13 else frame() for k in range(20)]
    assert {1} == {track for found in tracks(results(*moving, step=5)) for track in found}


def test_a_track_goes_round_a_corner() -> None:
    """A bounce at full speed is no new object."""
    xs = [*range(100, 400, 30), *range(370, 100, -30)]
    assert {1} == {track for found in tracks(results(*(frame(box(x)) for x in xs))) for track in found}


def test_crossing_objects_keep_their_ways() -> None:
    """Two that meet go on as they came."""
    frames = [frame(box(100 + 20 * k, 50), box(500 - 20 * k, 62)) for k in range(21)]
    assert [[1, 2]] * 21 == tracks(results(*frames, step=5))


def test_what_is_gone_for_long_comes_back_as_another() -> None:
    """After seconds out of sight nobody knows who it is."""
    gone = [frame(box())] * 3 + [frame()] * 30 + [frame(box())] * 3
    assert [[1]] * 3 + [[]] * 30 + [[2]] * 3 == tracks(results(*gone))


def test_one_sample_per_second_is_not_too_few() -> None:
    """How long a track may be out of sight grows with the distance of samples."""
    slow = [frame(box()) if k not in {4, 5} else frame() for k in range(9)]
    assert {1} == {track for found in tracks(results(*slow, step=24)) for track in found}


def test_frames_that_were_not_inferred_are_no_misses() -> None:
    """Null frames do not end even a track that was seen once."""
    assert [[1], [], [], [], [1]] == tracks(results(frame(box()), None, None, None, frame(box(101))))


def test_no_track_has_two_classes() -> None:
    """The same box under another name is another object."""
    found = tracks(results(*(frame(box(name="car" if k % 2 else "bus")) for k in range(6))))
    assert [[1], [2]] * 3 == found


def test_a_sure_detection_comes_before_a_doubtful_twin() -> None:
    """A second, unsure box on the same object does not take over its track."""
    frames = [frame(box(100 + 5 * k, confidence=0.9), box(104 + 5 * k, 53, confidence=0.2)) for k in range(10)]
    assert [1] * 10 == [found[0] for found in tracks(results(*frames))]


# --- ids of the service -------------------------------------------------------------------------------


def test_ids_of_the_service_are_kept() -> None:
    """Where every detection has an id, the tracker has no say."""
    frames = [frame(box(100, tracker_id=7), box(300, tracker_id=4)), frame(box(300, tracker_id=7))]
    assert [[7, 4], [7]] == tracks(results(*frames))


def test_ids_that_count_from_zero_move_up_by_one() -> None:
    """No id is less than 1, and who was the same stays the same."""
    frames = [frame(box(tracker_id=0), box(300, tracker_id=1)), frame(box(tracker_id=0))]
    assert [[1, 2], [1]] == tracks(results(*frames))


def test_detections_without_an_id_join_no_given_track() -> None:
    """Given ids stay, the rest is followed, and none is used twice."""
    frames = [frame(box(100, tracker_id=7), box(300)), frame(box(101), box(301)), frame(box(102, tracker_id=-1))]
    assert [[7, 8], [9, 8], [9]] == tracks(results(*frames))


def test_an_id_given_twice_in_a_sample_stays_with_the_surer() -> None:
    """An object is in one place at a time."""
    frames = [frame(box(100, tracker_id=3, confidence=0.5), box(300, tracker_id=3, confidence=0.9))]
    assert [[4, 3]] == tracks(results(*frames))


# --- what always holds --------------------------------------------------------------------------------


boxes = st.builds(
    box,
    st.floats(-100, 700),
    st.floats(-100, 400),
    st.sampled_from(["car", "bus"]),
    width=st.floats(0, 500),
    height=st.floats(0, 500),
    confidence=st.floats(0, 1),
    tracker_id=st.one_of(st.none(), st.integers(-1, 3)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.lists(boxes, max_size=5)), min_size=1, max_size=8))
def test_every_detection_has_an_id_of_its_own_in_its_sample(frames: list[Any]) -> None:
    """Ids are at least 1, unique per sample, the same at every call, and settled after one."""
    content = results(*(None if found is None else frame(*found) for found in frames))
    once = assign_tracks(parsed(content))
    objects = once.models[0].objects
    assert (objects.track >= 1).all()
    assert len(objects) == len(set(zip(objects.sample.tolist(), objects.track.tolist(), strict=True)))
    assert objects.track.tolist() == assign_tracks(parsed(content)).models[0].objects.track.tolist()
    assert objects.track.tolist() == assign_tracks(once).models[0].objects.track.tolist()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(boxes.map(lambda one: one | {"tracker_id": None}), max_size=5), min_size=1, max_size=8))
def test_a_track_that_we_made_has_one_class(frames: list[Any]) -> None:
    """Whatever the detections, classes never share an id."""
    model = assign_tracks(parsed(results(*(frame(*found) for found in frames)))).models[0]
    pairs = set(zip(model.objects.track.tolist(), model.objects.class_code.tolist(), strict=True))
    assert len(pairs) == len({track for track, _ in pairs})


def test_only_tracks_change() -> None:
    """Everything else comes out as it went in, and the input is left alone."""
    before = parsed(results(frame(box(), box(300)), None))
    after = assign_tracks(before)
    assert [-1, -1] == before.models[0].objects.track.tolist()
    model, tracked = before.models[0], after.models[0]
    assert replace(tracked, objects=model.objects) == model
    assert tracked.objects.box is model.objects.box


def test_models_are_followed_apart() -> None:
    """Each model counts its tracks from 1."""
    content = results(frame(box()), frame(box())) | {"people": [frame(box()), frame(box())], "clip": [[1.0], [2.0]]}
    found = assign_tracks(parsed(content))
    assert [[1, 1], [1, 1], []] == [model.objects.track.tolist() for model in found.models]


def test_unknown_times_are_no_obstacle() -> None:
    """Without times and frame rate, frames are taken as 25 to the second."""
    content = results(*(frame(box(100 + 5 * k)) for k in range(5)))
    del content["time_offset"]
    assert [[1]] * 5 == tracks(content)


def test_ids_do_not_depend_on_how_far_into_the_video_it_is() -> None:
    """Only differences of time matter."""
    scene = make_scene(9, fps=2, fastest=80).predictions
    later: Predictions = replace(scene, time_s=scene.time_s + 3600.0)
    assert (
        assign_tracks(scene).models[0].objects.track.tolist() == assign_tracks(later).models[0].objects.track.tolist()
    )
