"""A transcoded video has the source's frames at the source's times, upright, and plays in a browser."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.domain.errors import DeliveryFailed, ObjectMissing, StorageUnavailable
from tasks.sinks.transcode import Image, Transcoded, transcode
from tests.clips import frame_number, numbered, red_corner, sample_footage, write_clip


def leave(index: int, image: Image) -> None:
    """Paint nothing."""


def run(
    source: Path, target: Path, *, rotation: int = 0, paint: Callable[[int, Image], None] = leave
) -> tuple[Transcoded, list[Fraction], list[Image]]:
    """Transcode; return what it says, and the times and pictures of the result."""
    with av.open(str(source)) as container:
        frame = next(container.decode(video=0))
    with source.open("rb") as file:
        done = transcode(file, target, size=(frame.width, frame.height), rotation=rotation, paint=paint)
    times, pictures = decoded(target)
    return done, times, pictures


def decoded(path: Path) -> tuple[list[Fraction], list[Image]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [frame.pts * frame.time_base for frame in frames], [frame.to_ndarray(format="rgb24") for frame in frames]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


def test_real_footage_keeps_its_frames_and_times(target: Path) -> None:
    """Every frame of the source is in the result, at its own time, here at 30000/1001 frames/s."""
    source = sample_footage("carphone_pristine.mp4")
    done, times, _ = run(source, target)
    expected, _ = decoded(source)
    assert expected == times
    assert len(expected) == done.frames
    assert [] == done.warnings


def test_the_result_is_what_browsers_play(tmp_path: Path, target: Path) -> None:
    """H.264, 4:2:0, eight bits, with the index in front of the data, whatever came in."""
    source = write_clip(tmp_path / "in.mkv", codec="libx265", frames=5)
    run(source, target)
    with av.open(str(target)) as container:
        context = container.streams.video[0].codec_context
        assert ("h264", "yuv420p") == (context.name, context.pix_fmt)
    data = target.read_bytes()
    assert b"ftyp" == data[4:8]
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".avi", "mpeg4"), (".mkv", "libx264"), (".ts", "libx264"), (".mov", "libx264"), (".mpg", "mpeg2video")],
)
def test_containers_come_through_with_every_frame(tmp_path: Path, target: Path, suffix: str, codec: str) -> None:
    """Whatever the container, the first picture is at 0 and no frame is lost or doubled."""
    source = write_clip(tmp_path / f"in{suffix}", codec=codec, frames=30, b_frames=0)
    done, times, pictures = run(source, target)
    assert list(range(30)) == [frame_number(picture) for picture in pictures]
    assert pytest.approx([index / 25 for index in range(30)], abs=0.002) == [float(time) for time in times]
    assert 30 == done.frames


def test_a_variable_frame_rate_is_kept(tmp_path: Path, target: Path) -> None:
    """Each frame stays at its own time, however irregular; nothing is resampled."""
    times_ms = [0, 40, 90, 100, 300, 301, 1_000, 1_040, 3_333, 3_400]
    source = write_clip(tmp_path / "in.mkv", frames=10, times_ms=times_ms)
    _, times, pictures = run(source, target)
    assert times_ms == [round(time * 1000) for time in times]
    assert list(range(10)) == [frame_number(picture) for picture in pictures]


def test_spliced_streams_go_on(tmp_path: Path, target: Path) -> None:
    """Two recordings in one file, the clock starting over: every picture has its turn; the sound ends early."""
    part = write_with_sound(tmp_path / "part.ts", "aac").read_bytes()
    source = tmp_path / "in.ts"
    source.write_bytes(part + part)
    done, times, pictures = run(source, target)
    assert [*range(50), *range(50)] == [frame_number(picture) for picture in pictures]
    assert pytest.approx([index / 25 for index in range(100)]) == [float(time) for time in times]
    assert ["the sound ends early: its data does not fit into an mp4"] == done.warnings
    assert 2 > sound_of(target)[-1][0] > 1.8


def test_frames_without_times_get_some(tmp_path: Path, target: Path) -> None:
    """A raw stream has no timestamps: its frames follow each other at its rate."""
    source = write_clip(tmp_path / "in.h264", frames=20, muxer="h264", b_frames=0)
    _, times, pictures = run(source, target)
    assert list(range(20)) == [frame_number(picture) for picture in pictures]
    assert sorted(set(times)) == times


@pytest.mark.parametrize(("rotation", "size"), [(0, (160, 96)), (90, (96, 160)), (180, (160, 96)), (270, (96, 160))])
def test_the_result_is_upright_and_has_no_rotation_of_its_own(
    tmp_path: Path, target: Path, rotation: int, size: tuple[int, int]
) -> None:
    """A phone's video is turned as a player would, so that nobody turns it again."""
    source = write_clip(tmp_path / "in.mp4", frames=3, rotation=rotation)
    run(source, target, rotation=rotation)
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0))
    assert 0 == frame.rotation
    assert size == (frame.width, frame.height)
    expected = {0: "top left", 90: "bottom left", 180: "bottom right", 270: "top right"}
    assert expected[rotation] == red_corner(frame.to_ndarray(format="rgb24"))


def test_painting_happens_on_the_upright_picture(tmp_path: Path, target: Path) -> None:
    """What is painted on the left half is on the left half of what people see."""
    source = write_clip(tmp_path / "in.mp4", frames=3, rotation=90)

    def paint(index: int, image: Image) -> None:
        image[:, :48] = (255, 0, 0)  # blue

    _, _, pictures = run(source, target, rotation=90, paint=paint)
    red, _, blue = pictures[1][80, 24]
    assert blue > 200
    assert red < 50


@pytest.mark.parametrize("size", [(321, 241), (161, 96), (160, 97), (33, 17)])
def test_odd_sides_become_even(tmp_path: Path, target: Path, size: tuple[int, int]) -> None:
    """A row or column is repeated; the rest of the picture does not move."""
    source = write_clip(tmp_path / "in.mkv", size=size, codec="ffv1", frames=3, b_frames=0)
    _, _, pictures = run(source, target)
    assert (size[1] + size[1] % 2, size[0] + size[0] % 2, 3) == pictures[2].shape
    assert 20 > np.abs(pictures[2][: size[1], : size[0]].astype(int) - numbered(2, *size)).mean()


def test_each_picture_is_painted_once_in_order(tmp_path: Path, target: Path) -> None:
    """The painter gets indices in decode order, with the picture that belongs to each."""
    source = write_clip(tmp_path / "in.mp4", frames=60, b_frames=3)
    seen: list[tuple[int, int]] = []
    run(source, target, paint=lambda index, image: seen.append((index, frame_number(image))))
    assert [(index, index) for index in range(60)] == seen


@pytest.mark.parametrize(("matrix", "wide"), [(1, False), (1, True), (5, False), (2, False)])
def test_colours_stay_what_they_were(tmp_path: Path, target: Path, matrix: int, wide: bool) -> None:
    """BT.709, BT.601 and untagged footage, of video and of full range, looks the same afterwards."""
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if wide else 1
        planes = np.concatenate([np.full((64, 64), 120), np.full((16, 64), 80), np.full((16, 64), 190)]).astype(
            np.uint8
        )
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    run(source, target)
    pictures = []
    for path in (source, target):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            pictures.append((frame.to_ndarray()[:, :64].astype(int), frame.to_ndarray(format="rgb24").astype(int)))
    assert 4 > np.abs(pictures[0][0] - pictures[1][0]).mean()
    assert 4 > np.abs(pictures[0][1] - pictures[1][1]).mean()


def test_pixels_that_are_not_square_stay_so(target: Path) -> None:
    """The shape of a pixel is passed on, or the picture would look squeezed."""
    run(sample_footage("carphone_pristine.mp4"), target)
    with av.open(str(target)) as container:
        assert Fraction(128, 117) == container.streams.video[0].sample_aspect_ratio


# --- sound ---------------------------------------------------------------------------------


def write_with_sound(path: Path, codec: str) -> Path:
    """Two seconds of numbered frames with a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=48_000)
        resampler = av.AudioResampler(format=sound.codec_context.format, layout="stereo", rate=48_000)
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(numbered(index, 64, 48), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
            tone = (np.sin(np.arange(1_920) / 20) * 8_000).astype(np.int16).repeat(2)[None]
            samples = av.AudioFrame.from_ndarray(tone, format="s16", layout="stereo")
            samples.sample_rate, samples.pts, samples.time_base = 48_000, index * 1_920, Fraction(1, 48_000)
            for piece in resampler.resample(samples):
                container.mux(sound.encode(piece))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


def sound_of(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(audio=0) if p.pts is not None]


def test_sound_is_copied(tmp_path: Path, target: Path) -> None:
    """AAC packets are the same bytes at the same times, not encoded again."""
    source = write_with_sound(tmp_path / "in.mp4", "aac")
    done, _, _ = run(source, target)
    assert [data for _, data in sound_of(source)] == [data for _, data in sound_of(target)]
    assert pytest.approx([time for time, _ in sound_of(source)]) == [time for time, _ in sound_of(target)]
    assert [] == done.warnings


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mkv", "aac"), (".mkv", "libmp3lame"), (".ts", "aac"), (".avi", "libmp3lame")]
)
def test_sound_stays_in_step_with_the_picture(tmp_path: Path, target: Path, suffix: str, codec: str) -> None:
    """Also from containers whose clock does not start at zero, picture and sound are as far apart as before."""
    source = write_with_sound(tmp_path / f"in{suffix}", codec)
    done, times, pictures = run(source, target)
    assert list(range(50)) == [frame_number(picture) for picture in pictures]
    assert 0 == times[0]
    assert [] == done.warnings
    # An AVI has no presentation times, so what a decoder says of its first picture is a guess.
    start = 0.0 if suffix == ".avi" else float(decoded(source)[0][0])
    assert pytest.approx(sound_of(source)[5][0] - start, abs=0.002) == sound_of(target)[5][0]
    with av.open(str(target)) as container:
        assert 1.9 < sum(frame.samples for frame in container.decode(audio=0)) / 48_000 < 2.1


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "libopus"), (".avi", "pcm_s16le")])
def test_other_sound_is_left_out_with_a_warning(tmp_path: Path, target: Path, suffix: str, codec: str) -> None:
    """What an mp4 does not take is named, and the picture is whole."""
    source = write_with_sound(tmp_path / f"in{suffix}", codec)
    done, _, pictures = run(source, target)
    assert 50 == len(pictures)
    assert 1 == len(done.warnings)
    assert "sound" in done.warnings[0]
    with av.open(str(target)) as container:
        assert not container.streams.audio


# --- what cannot be done -------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"not a video", bytes(1_000), b"\0\0\0\x20ftypisom" + bytes(100)])
def test_what_is_no_video_is_refused(target: Path, data: bytes) -> None:
    """Garbage is a failed delivery, told without FFmpeg's own words."""
    with pytest.raises(DeliveryFailed, match="re-encoded"):
        transcode(io.BytesIO(data), target, size=(64, 48), rotation=0, paint=leave)


@pytest.mark.parametrize("cover", [True, False])
def test_a_file_with_sound_alone_is_refused(tmp_path: Path, target: Path, cover: bool) -> None:
    """A recording without a picture is named as such; cover art is not a film."""
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as container:
        sound = container.add_stream("aac", rate=8_000)
        if cover:
            poster = container.add_stream("mjpeg")
            poster.width, poster.height, poster.pix_fmt = 32, 32, "yuvj420p"
            poster.disposition = av.stream.Disposition.attached_pic
            container.mux(poster.encode(av.VideoFrame.from_ndarray(numbered(0, 32, 32), "rgb24")))
            container.mux(poster.encode(None))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 8_000), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 8_000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    with source.open("rb") as file, pytest.raises(DeliveryFailed, match="no video stream"):
        transcode(file, target, size=(64, 48), rotation=0, paint=leave)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_without_frames_is_refused(tmp_path: Path, target: Path, suffix: str) -> None:
    """A header with nothing behind it leaves no empty result."""
    source = tmp_path / f"in{suffix}"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        container.start_encoding()
    with source.open("rb") as file, pytest.raises(DeliveryFailed):
        transcode(file, target, size=(64, 48), rotation=0, paint=leave)


def test_a_list_of_other_files_is_refused(tmp_path: Path, target: Path) -> None:
    """What calls itself a video and names files of the machine gets none of them."""
    clip = write_clip(tmp_path / "private.mp4", frames=3)
    for listing in (f"ffconcat version 1.0\nfile {clip}\n", f"#EXTM3U\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n"):
        with pytest.raises(DeliveryFailed):
            transcode(io.BytesIO(listing.encode()), target, size=(64, 48), rotation=0, paint=leave)


class Failing(io.BytesIO):
    """A remote file whose reads fail after a while."""

    def __init__(self, data: bytes, error: Exception, after: int) -> None:
        super().__init__(data)
        self.error, self.left = error, after

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().read(size)


@pytest.mark.parametrize("after", [0, 3, 8])
@pytest.mark.parametrize("error", [ObjectMissing("gone"), StorageUnavailable("busy")], ids=lambda error: error.code)
def test_a_stores_own_errors_come_through(target: Path, error: Exception, after: int) -> None:
    """A store that fails while the video is read is no broken video."""
    data = sample_footage("bikes.mp4").read_bytes()
    with pytest.raises(type(error), match=str(error)):
        transcode(Failing(data, error, after), target, size=(64, 48), rotation=0, paint=leave)


def test_a_full_disk_is_told_as_such() -> None:
    """Without room for the result the delivery may be tried again."""
    with sample_footage("bikes.mp4").open("rb") as file, pytest.raises(StorageUnavailable, match="full"):
        transcode(file, Path("/dev/full"), size=(640, 272), rotation=0, paint=leave)


def test_an_error_of_the_painter_comes_through(tmp_path: Path, target: Path) -> None:
    """A mistake in drawing is not hidden as a broken video."""

    def paint(index: int, image: Image) -> None:
        raise ZeroDivisionError

    source = write_clip(tmp_path / "in.mp4", frames=3)
    with source.open("rb") as file, pytest.raises(ZeroDivisionError):
        transcode(file, target, size=(160, 96), rotation=0, paint=paint)
