"""Results are held against their job: frames of this video, as many as were asked for, inferred."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import Predictions
from tasks.domain.sampling import sample_count, sample_indices, sampling_step
from tasks.domain.video import VideoInfo
from tasks.predictions.coverage import check_coverage, check_inferred, frames_not_inferred
from tasks.predictions.parse import parse_bytes

FRAME: dict[str, Any] = {"image": {"width": 160, "height": 96}, "predictions": []}


def video(frames: int, fps: Fraction = Fraction(25)) -> VideoInfo:
    return VideoInfo(
        width=160,
        height=96,
        rotation=0,
        fps=fps,
        frame_count=frames,
        duration_s=float(frames / fps),
        container="mp4",
        codec="h264",
    )


def inferred(index: Sequence[int], times: Sequence[float] | None = None, null: Sequence[int] = ()) -> Predictions:
    """Results of these frames; of a video of 25 frames a second, if no times are given."""
    times = [one / 25 for one in index] if times is None else times
    seen = [None if at in null else FRAME for at in range(len(index))]
    text = json.dumps({"frame_offset": list(index), "time_offset": list(times), "players": seen})
    return parse_bytes(text.encode(), video_fps=25.0)


@pytest.mark.parametrize(
    "index",
    [[0], [0, 20], [0, 5, 10, 15, 4995], [0, 5, 10, 15, 41], range(25)],
    ids=["one of five", "two of five", "frame 4995 of 25", "frame 41 of 25", "every frame"],
)
def test_results_of_other_frames_than_were_asked_for_are_refused(index: Sequence[int]) -> None:
    """A second of video at 5 a second is five frames, and all of them are within the video."""
    with pytest.raises(ResultInvalid):
        check_coverage(inferred(index), video(25), 5)


@pytest.mark.parametrize("unit", [1000, 1 / 25, 0])
def test_times_in_another_unit_do_not_hide_another_number_of_frames(unit: float) -> None:
    """They look like a variable rate, of which any number is right."""
    index = range(0, 250, 25)
    with pytest.raises(ResultInvalid, match="5 a second of this video are about"):
        check_coverage(inferred(index, [one * unit for one in index]), video(250), 5)


def test_another_rate_than_was_asked_for_is_refused() -> None:
    """One frame a second for five, over ten seconds and over an hour; and five for one."""
    for frames in (250, 90_000):
        with pytest.raises(ResultInvalid, match="5 a second of this video are about"):
            check_coverage(inferred(range(0, frames, 25)), video(frames), 5)
        with pytest.raises(ResultInvalid):
            check_coverage(inferred(range(0, frames, 5)), video(frames), 1)


@given(
    frames=st.integers(1, 3000),
    fps=st.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(15), Fraction(160000, 17589)]),
    wanted=st.floats(0.1, 9.0),
    lost=st.integers(0, 3),
    found=st.integers(0, 16),
)
def test_the_services_own_rule_is_never_refused(
    frames: int, fps: Fraction, wanted: float, lost: int, found: int
) -> None:
    """Whatever the rates: also where its decoder loses a few frames (of some) at the end, or finds some more."""
    decoded = frames - min(lost, frames // 8) + found
    count = sample_count(decoded, sampling_step(fps, wanted))
    index = [one for one, _ in zip(sample_indices(fps, wanted), range(count), strict=False)]
    if index:
        check_coverage(inferred(index, [float(one / fps) for one in index]), video(frames, fps), wanted)


@pytest.mark.parametrize("step", [1, 2])
def test_a_step_rounded_to_whole_frames_is_right(step: int) -> None:
    """20 a second of 25: every frame, or every second one."""
    check_coverage(inferred(range(0, 250, step)), video(250), 20)


def test_sampling_by_time_is_right_where_the_rate_varies() -> None:
    """A screen recording: bursts of 25 frames/s in 100 s, at 5 a second by its clock, are fewer than by its frames."""
    by_time = [(burst * 25 + at, burst * 10 + at / 25) for burst in range(10) for at in range(0, 25, 5)]
    index, times = zip(*by_time, strict=True)
    check_coverage(inferred(index, times), video(250, Fraction(5, 2)), 2)


def test_results_with_every_frame_null_are_refused() -> None:
    """Nothing was inferred, so there is nothing to deliver; some frames are a count."""
    with pytest.raises(ResultInvalid, match="players: none of 3 frames was inferred"):
        check_inferred(inferred([0, 5, 10], null=[0, 1, 2]))
    some = inferred([0, 5, 10], null=[1])
    check_inferred(some)
    assert 1 == frames_not_inferred(some)
