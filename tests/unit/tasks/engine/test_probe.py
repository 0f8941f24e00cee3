"""Probing says what decoding would find, without decoding."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tasks.domain.errors import (
    AccessDenied,
    StorageUnavailable,
    VideoEmpty,
    VideoTruncated,
    VideoUnreadable,
)
from tasks.engine.frames import sampled_frames
from tasks.engine.probe import probe
from tasks.engine.source import RangedFile
from tests.clips import CLIP_SIZE, sample_footage, write_clip
from tests.unit.tasks.engine.conftest import CLIPS, UNEVEN_MS

ClipPath = Callable[[str], Path]


def decoded_count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))


@pytest.mark.parametrize("name", CLIPS)
def test_the_count_is_what_a_decoder_gives_out(clip: ClipPath, name: str) -> None:
    """In every container, however it is indexed, the frame count is that of a full decode."""
    with clip(name).open("rb") as file:
        info = probe(file)
    assert decoded_count(clip(name)) == info.frame_count
    assert CLIP_SIZE == (info.width, info.height)


@pytest.mark.parametrize(
    ("name", "container", "codec"),
    [
        ("b_frames.mp4", "mp4", "h264"),
        ("hevc.mov", "mov", "hevc"),
        ("mpeg4.avi", "avi", "mpeg4"),
        ("vp9.webm", "webm", "vp9"),
        ("h264.mkv", "mkv", "h264"),
        ("mpeg2.mpg", "mpg", "mpeg2video"),
        ("h264.ts", "ts", "h264"),
        ("flv1.flv", "flv", "flv"),
        ("wmv2.wmv", "wmv", "wmv2"),
        ("raw.hevc", "hevc", "hevc"),
    ],
)
def test_container_and_codec_have_short_names(clip: ClipPath, name: str, container: str, codec: str) -> None:
    """Containers are called as their files usually are; MP4 and QuickTime, WebM and Matroska are told apart."""
    with clip(name).open("rb") as file:
        info = probe(file)
    assert (container, codec) == (info.container, info.codec)


@pytest.mark.parametrize(
    ("name", "rotation", "display"),
    [
        ("faststart.mp4", 0, (160, 96)),
        ("left.mp4", 90, (96, 160)),
        ("upside_down.mp4", 180, (160, 96)),
        ("right.mp4", 270, (96, 160)),
    ],
)
def test_rotation_is_one_of_four(clip: ClipPath, name: str, rotation: int, display: tuple[int, int]) -> None:
    """Counter-clockwise degrees from 0 to 270; the size stays the coded one."""
    with clip(name).open("rb") as file:
        info = probe(file)
    assert (rotation, CLIP_SIZE, display) == (info.rotation, (info.width, info.height), info.display_size)


def test_rates_and_durations_come_from_the_container(clip: ClipPath) -> None:
    """Fractional and uneven rates are exact averages; durations are in seconds."""
    with clip("ntsc.mp4").open("rb") as file:
        info = probe(file)
    assert (Fraction(30000, 1001), 30) == (info.fps, info.frame_count)
    assert pytest.approx(1.001, abs=1e-3) == info.duration_s
    with clip("uneven.mp4").open("rb") as file:
        info = probe(file)
    assert pytest.approx(len(UNEVEN_MS) / info.duration_s, rel=1e-3) == float(info.fps)
    with clip("raw.hevc").open("rb") as file:
        assert pytest.approx(30 / 25) == probe(file).duration_s


def test_real_footage() -> None:
    """The sample videos are what their package says they are."""
    with sample_footage("bikes.mp4").open("rb") as file:
        info = probe(file, size=sample_footage("bikes.mp4").stat().st_size)
    assert (640, 272, 0, Fraction(25), 250, 10.0, "mp4", "h264") == (
        info.width,
        info.height,
        info.rotation,
        info.fps,
        info.frame_count,
        info.duration_s,
        info.container,
        info.codec,
    )


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize(
    "name",
    ["faststart.mp4", "b_frames.mp4", "fragmented.mp4", "fragmented_indexed.mp4", "mpeg4.avi", "vp9.webm", "h264.mkv"],
)
def test_a_file_cut_short_is_truncated(clip: ClipPath, name: str, part: float) -> None:
    """Wherever it is cut, with the index in front or behind, it is never taken for a shorter video."""
    data = clip(name).read_bytes()
    with pytest.raises(VideoTruncated):
        probe(io.BytesIO(data[: int(len(data) * part)]))


def test_an_mp4_with_an_oversized_mdat_is_whole(clip: ClipPath) -> None:
    """Recorders that overstate the size of the last box do no harm: every sample is there."""
    data = bytearray(clip("faststart.mp4").read_bytes())
    start = data.index(b"mdat") - 4
    data[start : start + 4] = (len(data) * 2).to_bytes(4)
    assert 30 == probe(io.BytesIO(bytes(data))).frame_count


@pytest.mark.parametrize("tenth", [1, 3, 5, 7])
def test_a_stream_that_starts_mid_gop_is_decoded_to_be_counted(tenth: int, tmp_path: Path) -> None:
    """Packets before the first keyframe give no frames, so packets are not counted there."""
    data = write_clip(tmp_path / "long.ts", frames=100, gop=20).read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(data[len(data) * tenth // 10 // 188 * 188 :])
    with cut.open("rb") as file:
        assert decoded_count(cut) == probe(file).frame_count


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", VideoEmpty),
        (b"just some text\n" * 300, VideoUnreadable),
        (bytes(10_000), VideoUnreadable),
        (b"\xff\xd8\xff\xe0" + bytes(100), VideoUnreadable),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n", VideoUnreadable),
        (b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 20, VideoUnreadable),
        (b"\0\0\0\x10ftypisom\0\0\0\0", VideoUnreadable),
    ],
    ids=["no bytes", "text", "zeros", "broken jpeg", "playlist", "subtitles", "mp4 head only"],
)
def test_what_is_no_video_is_refused(data: bytes, error: type[VideoUnreadable]) -> None:
    """Each ends in a named error."""
    with pytest.raises(error) as caught:
        probe(io.BytesIO(data))
    assert type(caught.value) is error


def test_a_list_of_other_files_is_never_followed(clip: ClipPath, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that names local videos for libav to join must not give access to them."""
    monkeypatch.chdir(clip("h264.ts").parent)
    listing = b"ffconcat version 1.0\nfile h264.ts\n"
    with av.open(io.BytesIO(listing)) as container:
        assert 1 == len(container.streams.video), "libav itself would follow it"
    with pytest.raises(VideoUnreadable):
        probe(io.BytesIO(listing))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    """A container without a video stream says so."""
    path = tmp_path / "sound.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=1024)
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with path.open("rb") as file, pytest.raises(VideoUnreadable, match="no video stream"):
        probe(file)


def test_a_cover_picture_is_not_the_video(tmp_path: Path) -> None:
    """Music with a cover has a video stream of one picture; it is not taken for a film."""
    path = tmp_path / "music.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        container.mux(cover.encode(None))
    with path.open("rb") as file, pytest.raises(VideoUnreadable, match="no video stream"):
        probe(file)


@pytest.mark.parametrize("name", ["short.mov", "short.mkv"])
@pytest.mark.parametrize("frames", [2, 5, 12])
def test_a_picture_before_a_short_film_is_not_the_film(tmp_path: Path, name: str, frames: int) -> None:
    """However few frames a film has, a track of one picture is none beside it."""
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        tracks = {container.add_stream("mjpeg", rate=25): 1, container.add_stream("mpeg4", rate=25): frames}
        for track in tracks:
            track.width, track.height = 64, 48
            track.pix_fmt = "yuvj420p" if track.codec.name == "mjpeg" else "yuv420p"
        for track, count in tracks.items():
            for number in range(count):
                picture = av.VideoFrame(64, 48, track.pix_fmt)
                picture.pts, picture.time_base = number, Fraction(1, 25)
                container.mux(track.encode(picture))
            container.mux(track.encode(None))
    with path.open("rb") as file:
        info = probe(file)
    assert (1, frames, "mpeg4") == (info.track, info.frame_count, info.codec)


def test_a_video_without_frames_is_empty(tmp_path: Path) -> None:
    """A container with a video stream and nothing in it is empty."""
    path = tmp_path / "none.avi"
    with av.open(str(path), "w") as container:
        container.add_stream("mpeg4", rate=25)
        container.start_encoding()
    for read in (probe, lambda file: next(sampled_frames(file, 1))):
        with path.open("rb") as file, pytest.raises(VideoEmpty, match="no frames"):
            read(file)


class FailingSource:
    """A range source that fails from its n-th read on."""

    def __init__(self, body: bytes, failing_from: int) -> None:
        self.body, self.left = body, failing_from

    @property
    def size(self) -> int:
        return len(self.body)

    def read(self, start: int, length: int) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise AccessDenied("the URL has expired")
        return self.body[start : start + length]


@pytest.mark.parametrize(
    "name", ["faststart.mp4", "b_frames.mp4", "fragmented.mp4", "mpeg4.avi", "vp9.webm", "mpeg2.mpg", "h264.ts"]
)
def test_an_unreadable_source_is_never_a_shorter_video(clip: ClipPath, name: str) -> None:
    """Whichever read fails, the source's own error comes out, or the answer is the right one."""
    body = clip(name).read_bytes()
    outcomes = []
    for failing_from in range(200):
        source = FailingSource(body, failing_from)
        try:
            outcomes.append(probe(io.BufferedReader(RangedFile(source, block=512, cached_blocks=4))).frame_count)
        except AccessDenied:
            outcomes.append(-1)
        if source.left >= 0:
            break
    assert outcomes[0] == -1
    assert {-1, 30} == set(outcomes)


def test_a_failing_disk_is_not_blamed_on_the_video() -> None:
    """An operating system error while reading may pass; the video is not called unreadable for it."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(StorageUnavailable, match="Input/output error"):
        probe(Failing(b"some bytes"))


def test_the_file_stays_open(clip: ClipPath) -> None:
    """Whoever opened the file closes it."""
    with clip("h264.ts").open("rb") as file:
        probe(file)
        assert not file.closed
