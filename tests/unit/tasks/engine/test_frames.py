"""The right frames, at the right times, the right way up."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from itertools import islice, pairwise, takewhile
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.errors import (
    FpsTooHigh,
    InputInvalid,
    VideoEmpty,
    VideoTooLarge,
    VideoTruncated,
    VideoUnreadable,
)
from tasks.domain.sampling import sample_indices
from tasks.engine.frames import SampledFrame, sampled_frames
from tasks.engine.probe import probe
from tests.clips import frame_number, red_corner, sample_footage, write_clip
from tests.unit.tasks.engine.conftest import CLIPS, UNEVEN_MS

ClipPath = Callable[[str], Path]


def sampled(path: Path, fps: float, **options: float) -> list[SampledFrame]:
    with path.open("rb") as file:
        return list(sampled_frames(file, fps, max_duration_s=options.get("max_duration_s")))


@pytest.mark.parametrize(
    ("fps", "infer_fps", "expected"),
    [
        (Fraction(25), 5, [0, 5, 10, 15, 20, 25]),
        (Fraction(24), 4, [0, 6, 12, 18, 24, 30]),
        (Fraction(25), 10, [0, 3, 5, 8, 10, 13]),
        (Fraction(30000, 1001), 5, [0, 6, 12, 18, 24, 30]),
        (Fraction(25), 25, [0, 1, 2, 3, 4, 5]),
        (Fraction(30000, 1001), 29.97, [0, 1, 2, 3, 4, 5]),
        (Fraction(30000, 1001), 30000 / 1001, [0, 1, 2, 3, 4, 5]),
        (Fraction(25), 0.5, [0, 50, 100, 150, 200, 250]),
    ],
)
def test_indices_follow_the_hosted_rule(fps: Fraction, infer_fps: float, expected: list[int]) -> None:
    """int(k * fps / infer_fps + 0.5), as the hosted service picks its frames."""
    assert expected == list(islice(sample_indices(fps, infer_fps), 6))


rates = st.sampled_from(
    [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(160000, 17589)]
)


@given(fps=rates, share=st.fractions(min_value=Fraction(1, 60), max_value=1))
def test_indices_start_at_zero_and_keep_their_distance(fps: Fraction, share: Fraction) -> None:
    """No frame is sampled twice, none drifts: the k-th index is within half a frame of its place."""
    infer = (fps * share).limit_denominator(1_000_000)
    if not 0 < infer <= fps:
        return
    indices = list(islice(sample_indices(fps, float(infer)), 50))
    assert indices[0] == 0
    assert all(later > earlier for earlier, later in pairwise(indices))
    assert all(abs(index - k * fps / infer) <= Fraction(1, 2) + Fraction(1, 10**6) for k, index in enumerate(indices))


def test_more_frames_than_there_are_is_refused_with_both_figures() -> None:
    """The message holds the rate asked for and the video's."""
    with pytest.raises(FpsTooHigh, match=r"30 frames per second.*29\.97"):
        sample_indices(Fraction(30000, 1001), 30)


@pytest.mark.parametrize("infer_fps", [0, -1, 1e-7, 5e-324, float("nan"), float("inf"), -float("inf")])
def test_a_rate_must_be_a_positive_number(infer_fps: float) -> None:
    """Anything else is an input error, not an endless loop."""
    with pytest.raises(InputInvalid):
        sample_indices(Fraction(25), infer_fps)


@pytest.mark.parametrize("name", sorted(set(CLIPS) - {"uneven.mp4", "left.mp4", "right.mp4", "upside_down.mp4"}))
def test_the_picture_is_that_of_the_index(clip: ClipPath, name: str) -> None:
    """In every container and codec, frame k of the answer shows frame k of the video."""
    frames = sampled(clip(name), 5)
    assert [f.frame_index for f in frames] == [frame_number(f.rgb) for f in frames]
    fps = Fraction(30000, 1001) if name == "ntsc.mp4" else Fraction(25)
    assert list(takewhile(lambda i: i < 30, sample_indices(fps, 5))) == [f.frame_index for f in frames]


@pytest.mark.parametrize("name", sorted(set(CLIPS) - {"uneven.mp4", "ntsc.mp4"}))
def test_times_count_from_the_first_frame(clip: ClipPath, name: str) -> None:
    """Whatever the first timestamp is, or if there are none, the first frame is at 0 and time runs on."""
    assert [k / 25 for k in range(30)] == [f.time_s for f in sampled(clip(name), 25)]


def test_times_are_those_of_the_stream_when_the_rate_varies(clip: ClipPath) -> None:
    """Times are presentation times, never index over rate."""
    frames = sampled(clip("uneven.mp4"), 15)
    assert len(frames) > 10
    assert [UNEVEN_MS[f.frame_index] / 1000 for f in frames] == [f.time_s for f in frames]


def test_times_have_four_decimals(clip: ClipPath) -> None:
    """Rounded as the hosted service rounds them."""
    assert [0.0, 0.2002, 0.4004, 0.6006, 0.8008] == [f.time_s for f in sampled(clip("ntsc.mp4"), 5)]


@pytest.mark.parametrize("name", ["faststart.mp4", "left.mp4", "upside_down.mp4", "right.mp4"])
def test_frames_are_turned_as_a_viewer_sees_them(clip: ClipPath, name: str) -> None:
    """The red square, top left in the coded frame, is where a player shows it."""
    corner, shape = {
        "faststart.mp4": ("top left", (96, 160, 3)),
        "left.mp4": ("bottom left", (160, 96, 3)),
        "upside_down.mp4": ("bottom right", (96, 160, 3)),
        "right.mp4": ("top right", (160, 96, 3)),
    }[name]
    frame = sampled(clip(name), 1)[0]
    assert (corner, shape) == (red_corner(frame.rgb), frame.rgb.shape)
    assert frame.rgb.dtype == np.uint8
    assert frame.rgb.flags.c_contiguous


def test_colours_are_red_green_blue() -> None:
    """Frames are RGB as PyAV converts them, not BGR."""
    path = sample_footage("bikes.mp4")
    with av.open(str(path)) as container:
        expected = np.asarray(next(container.decode(container.streams.video[0])).to_image())
    assert np.array_equal(expected, sampled(path, 1)[0].rgb)


def test_real_footage_is_sampled_to_its_end() -> None:
    """Ten seconds at five frames per second are fifty frames."""
    frames = [(f.frame_index, f.time_s) for f in sampled(sample_footage("bikes.mp4"), 5)]
    assert [(k * 5, k / 5) for k in range(50)] == frames


@pytest.mark.parametrize("name", ["faststart.mp4", "fragmented.mp4", "mpeg4.avi", "vp9.webm", "h264.mkv"])
def test_a_cut_file_gives_no_frame_at_all(clip: ClipPath, name: str) -> None:
    """The cut is noticed before anything is inferred, let alone paid for."""
    data = clip(name).read_bytes()
    with pytest.raises(VideoTruncated):
        next(sampled_frames(io.BytesIO(data[: len(data) * 2 // 3]), 5))


def test_damage_in_the_middle_is_an_error(clip: ClipPath) -> None:
    """Frames before the damage come out, then the video is called unreadable: a part is not the whole."""
    data = bytearray(clip("faststart.mp4").read_bytes())
    with av.open(io.BytesIO(bytes(data))) as container:
        entries = list(container.streams.video[0].index_entries)
    for entry in entries[15:20]:
        data[entry.pos : entry.pos + entry.size] = b"\xff" * entry.size
    frames = sampled_frames(io.BytesIO(bytes(data)), 25)
    with pytest.raises(VideoUnreadable, match="cannot be decoded"):
        list(frames)


def test_damage_that_the_decoder_skips_is_an_error(clip: ClipPath) -> None:
    """libav reads on after a hole in an AVI; the index tells how many frames are missing."""
    data = bytearray(clip("mpeg4.avi").read_bytes())
    data[len(data) // 2 : len(data) * 3 // 4] = bytes(len(data) * 3 // 4 - len(data) // 2)
    with pytest.raises(VideoTruncated, match=r"only \d+ of the video's 30 frames"):
        list(sampled_frames(io.BytesIO(bytes(data)), 25))


def test_an_indexed_video_of_which_nothing_decodes_is_not_called_empty(clip: ClipPath) -> None:
    """When the index promises frames and none comes, the file is damaged."""
    data = bytearray(clip("hevc.mov").read_bytes())
    with av.open(io.BytesIO(bytes(data))) as container:
        entries = list(container.streams.video[0].index_entries)
    for entry in entries:
        data[entry.pos : entry.pos + entry.size] = bytes(entry.size)
    for read in (lambda file: next(sampled_frames(file, 25)), probe):
        with pytest.raises(VideoUnreadable) as caught:
            read(io.BytesIO(bytes(data)))
        assert not isinstance(caught.value, VideoEmpty)


def test_repeated_frames_of_an_avi_are_no_damage(tmp_path: Path) -> None:
    """An AVI repeats a frame by an empty sample, which its header counts and no decoder gives out."""
    path = write_clip(tmp_path / "gaps.avi", codec="mpeg4", b_frames=0, frames=6, times_ms=[0, 40, 200, 240, 280, 600])
    with path.open("rb") as file:
        assert 6 == probe(file).frame_count
    assert [0] == [f.frame_index for f in sampled(path, 1)]


def test_nothing_to_decode_is_empty() -> None:
    """Zero bytes are an empty video."""
    with pytest.raises(VideoEmpty):
        next(sampled_frames(io.BytesIO(b""), 5))


def test_too_high_a_rate_is_refused_before_decoding(clip: ClipPath) -> None:
    """The video's own rate is in the message."""
    with pytest.raises(FpsTooHigh, match=r"26 frames .* has 25"):
        sampled(clip("faststart.mp4"), 26)


@pytest.mark.parametrize("name", ["faststart.mp4", "raw.hevc"])
def test_long_videos_are_refused(clip: ClipPath, name: str) -> None:
    """By what the header states, or on the way when it states nothing."""
    with pytest.raises(VideoTooLarge, match=r"at most 0\.5 s"):
        sampled(clip(name), 5, max_duration_s=0.5)
    assert 6 == len(sampled(clip(name), 5, max_duration_s=1.2))


def test_stopping_early_leaves_the_file_open(clip: ClipPath) -> None:
    """A consumer that has seen enough just stops."""
    with clip("faststart.mp4").open("rb") as file:
        frames = sampled_frames(file, 5)
        next(frames)
        frames.close()  # type: ignore[attr-defined]
        assert not file.closed
