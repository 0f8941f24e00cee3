"""Odd videos, from file to routes: frames, times and boxes against the number that each frame shows."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tasks.domain.errors import VideoTooLarge, VideoUnreadable
from tasks.domain.predictions import Predictions
from tasks.domain.sampling import sample_count, sampling_step
from tasks.domain.video import VideoInfo
from tasks.engine.detectors import load_detector
from tasks.engine.orientation import Orientation, orientation_by
from tasks.engine.probe import probe
from tasks.engine.rate import settled_duration, settled_rate
from tasks.engine.run import infer_video
from tasks.predictions.parse import parse_results
from tasks.predictions.track import assign_tracks
from tasks.sinks.geometry import place_boxes
from tests.clips import write_clip

CASES = Path(__file__).parents[2] / "cases"
ONE = 1 << 16
# Name -> frames that decode, the film's frame that is its first, whether it is mirrored.
FILMS = {
    "clip.mp4": (60, 0, False),
    "mp4box_zero_matrix.mp4": (60, 0, False),
    "mirrored_matrix.mp4": (60, 0, True),
    "webrtc_resize.webm": (60, 0, False),
    "hevc_opengop_cut_102_98.mp4": (98, 25, False),
    "thumb_track_first.mov": (60, 0, False),
    "last_delta_huge.mp4": (60, 0, False),
    "mediarecorder_30fps.webm": (600, 0, False),
}


def inferred(name: str, folder: Path) -> tuple[VideoInfo, Predictions]:
    """Probe and infer a case at 5 frames per second, as a run does."""
    target = folder / "results.json"
    with (CASES / name).open("rb") as file:
        info = probe(file)
        detector = load_detector(CASES / "finds_the_red_square.onnx")
        infer_video(file, {"square": detector}, fps=5, confidence=0.4, target=target)
    return info, assign_tracks(parse_results(target))


@pytest.mark.parametrize("name", FILMS)
def test_frames_times_and_boxes_are_those_of_the_film(name: str, tmp_path: Path) -> None:
    """The estimate is what is inferred; boxes lie on the square, upright and in the coded frame; it is one object."""
    frames, first, mirrored = FILMS[name]
    fps = 30 if name.startswith("mediarecorder") else 25

    info, found = inferred(name, tmp_path)

    assert (Fraction(fps), frames, mirrored) == (info.fps, info.frame_count, info.mirrored)
    assert info.duration_s == pytest.approx(frames / fps, rel=0.01)
    assert [int(k * fps / 5 + 0.5) for k in range(len(found))] == found.frame_index.tolist()
    assert sample_count(frames, sampling_step(info.fps, 5)) == len(found)
    tolerance = 0.06 if fps == 30 else 1e-3  # a browser's clock is uneven
    np.testing.assert_allclose(found.time_s, found.frame_index / fps, atol=tolerance)
    model = found.models[0]
    shown = found.frame_index[model.objects.sample] + first
    early = shown < 60  # it begins a new row later
    for upright in (True, False):
        left, top, right, bottom = place_boxes(model, info, upright=upright).edges.T
        centre = (left + right)[early] / 2
        expected = 18 + 2 * shown[early]
        np.testing.assert_allclose(centre, 320 - expected if mirrored and upright else expected, atol=1.0)
        np.testing.assert_allclose((top + bottom)[early] / 2, 40, atol=1.0)
    assert 1 == len(np.unique(model.objects.track[early]))


def test_results_keep_the_size_of_each_frame(tmp_path: Path) -> None:
    """Where the picture grows, each frame's boxes are in that frame's own pixels."""
    inferred("webrtc_resize.webm", tmp_path)
    frames = json.loads((tmp_path / "results.json").read_bytes())["square"]
    assert [320] * 6 + [640] * 6 == [frame["image"]["width"] for frame in frames]
    assert [16, 32] == [round(frames[k]["predictions"][0]["width"]) for k in (5, 6)]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), (0, False)),
        ((0, -1, 1, 0), (90, False)),
        ((-1, 0, 0, -1), (180, False)),
        ((0, 1, -1, 0), (270, False)),
        ((-1, 0, 0, 1), (0, True)),
        ((0, -1, -1, 0), (90, True)),
        ((1, 0, 0, -1), (180, True)),
        ((0, 1, 1, 0), (270, True)),
        ((0, 0, 0, 0), (0, False)),
    ],
)
def test_a_matrix_turns_and_mirrors(matrix: tuple[int, ...], expected: tuple[int, bool]) -> None:
    """All eight, whatever they scale by; zeros are none."""
    a, b, c, d = (part * ONE for part in matrix)
    for stretch in (1, 3):
        assert Orientation(*expected) == orientation_by((a * stretch, b, 0, c, d * stretch, 0, 0, 0, 1 << 30))


@pytest.mark.parametrize("matrix", [(1, 1, -1, 1), (2, 1, 0, 2), (1, 0, 0, 0), (0, 0, 1, 0), (7, -3, 5, 2)])
def test_another_matrix_is_refused(matrix: tuple[int, ...]) -> None:
    """Odd angles and shears are players' own affair: nobody could say where a box lies."""
    a, b, c, d = (part * ONE for part in matrix)
    with pytest.raises(VideoUnreadable, match="display matrix"):
        orientation_by((a, b, 0, c, d, 0, 0, 0, 1 << 30))


MS = Fraction(1, 1000)
STEADY = [40 * k for k in range(300)]


@pytest.mark.parametrize(
    ("stated", "stamps", "rate"),
    [
        ((None, Fraction(1000), Fraction(1000)), STEADY, 25),
        ((Fraction(90000),), STEADY, 25),
        ((Fraction(1, 100_000),), STEADY, 25),
        ((Fraction(25),), [k + 10**9 for k in STEADY], 25),
        ((Fraction(25),), STEADY + [k + 10**8 for k in STEADY], 25),
        ((Fraction(1, 1000),), STEADY + [k + 10**8 for k in STEADY], 25),
        ((Fraction(24),), STEADY, 24),  # variable rates and last frames differ so much
        ((Fraction(30000, 1001),), [], Fraction(30000, 1001)),
        ((None, Fraction(1000)), [0], 25),
        ((None, None, None), [], 25),
        ((Fraction(50),), [0] + [None] * 200, 50),
    ],
)
def test_a_rate_is_believed_if_the_timestamps_bear_it_out(
    stated: tuple[Fraction | None, ...], stamps: list[int | None], rate: Fraction
) -> None:
    """Ticks of a clock, spoilt averages and none at all give way to what is shown; jumps are no part of it."""
    assert rate == settled_rate(stated, stamps, MS)


@pytest.mark.parametrize(("stated", "expected"), [(12.0, 12.0), (None, 12.0), (172_812.0, 12.0), (0.0, 12.0)])
def test_a_duration_is_believed_likewise(stated: float | None, expected: float) -> None:
    """A last sample of days adds nothing to what a video costs."""
    assert expected == pytest.approx(settled_duration(stated, STEADY, MS, Fraction(25), 300))


def test_pictures_above_the_limit_are_refused_by_their_header(tmp_path: Path) -> None:
    """Pictures beyond 8K are told before a decoder takes memory for them."""
    bomb = write_clip(tmp_path / "bomb.mov", frames=1, size=(9000, 4400), codec="mjpeg", b_frames=0)
    with bomb.open("rb") as file, pytest.raises(VideoTooLarge, match="8192 x 4320"):
        probe(file)
