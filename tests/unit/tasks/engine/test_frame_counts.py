"""Frame counts that file names depend on: trimmed, cut and damaged files against a full decode."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.domain.errors import VideoTruncated, VideoUnreadable
from tasks.engine.probe import count_by_decoding, probe
from tasks.engine.source import RangedFile
from tests.clips import Image, write_clip

ClipPath = Callable[[str], Path]
WHOLE = 120
# Containers that state where they end.
CUT = ["faststart.mp4", "b_frames.mp4", "fragmented.mp4", "hevc.mov", "mpeg4.avi", "vp9.webm"]


def by_pyav(data: bytes) -> int:
    """The count of LightlyOne's own example: decode everything."""
    with av.open(io.BytesIO(data)) as container:
        return sum(1 for _ in container.decode(container.streams.video[0]))


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 frames with B-frames and open GOPs of 12."""
    options = {"x264-params": "open-gop=1"}
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", frames=WHOLE, b_frames=3, codec_options=options)


def with_edit(data: bytes, start: int, length: int) -> bytes:
    """Patch the file's edit list: play ``length`` ms from ``start`` on, in units of the track."""
    at = data.index(b"elst") + 4
    assert (0, 1) == (data[at], int.from_bytes(data[at + 4 : at + 8])), "version 0 with one entry"
    entry = length.to_bytes(4) + start.to_bytes(4)
    return data[: at + 8] + entry + data[at + 16 :]


@pytest.mark.parametrize("seed", range(12))
def test_an_edit_list_trims_the_count(long_clip: Path, seed: int) -> None:
    """Any piece of the film, by its edit list alone: the header goes on counting all frames."""
    chance = random.Random(seed)
    with av.open(str(long_clip)) as container:
        stream = container.streams.video[0]
        ticks = int(stream.duration)
    start = chance.randrange(ticks // 2)
    data = with_edit(long_clip.read_bytes(), start, chance.randrange(200, 3000))

    info = probe(io.BytesIO(data), size=len(data))

    assert by_pyav(data) == info.frame_count
    assert info.frame_count < WHOLE
    with av.open(io.BytesIO(data)) as container:
        assert WHOLE == container.streams.video[0].frames


@pytest.mark.parametrize("skipped", [1, 5, 13, 30, 61])
def test_a_copy_that_begins_mid_gop_counts_what_decodes(long_clip: Path, tmp_path: Path, skipped: int) -> None:
    """Cut without encoding anew, as editors and `ffmpeg -ss -c copy` do: frames before the start are hidden."""
    target = tmp_path / "trimmed.mp4"
    with av.open(str(long_clip)) as source, av.open(str(target), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        begin = skipped * stream.duration // WHOLE
        packets = [packet for packet in source.demux(stream) if packet.size]
        keys = [n for n, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= begin]
        for packet in packets[keys[-1] :]:
            packet.pts, packet.dts = packet.pts - begin, packet.dts - begin
            packet.stream = copy
            out.mux(packet)
    data = target.read_bytes()

    assert by_pyav(data) == probe(io.BytesIO(data)).frame_count


def test_a_count_costs_little_of_a_large_file(tmp_path: Path) -> None:
    """An MP4's index and its first frame are read by ranges, at either end of the file."""
    data = write_clip(tmp_path / "noise.mp4", frames=WHOLE, size=(320, 192), picture=noise).read_bytes()
    blocks: list[int] = []

    class Source:
        size = len(data)

        def read(self, start: int, length: int) -> bytes:
            blocks.append(length)
            return data[start : start + length]

    info = probe(io.BufferedReader(RangedFile(Source(), block=16_384)), size=len(data))

    assert WHOLE == info.frame_count
    assert sum(blocks) < len(data) / 4


def noise(index: int, width: int, height: int) -> Image:
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    "name", ["b_frames.mp4", "uneven.mp4", "hevc.mov", "mpeg4.avi", "vp9.webm", "mpeg2.mpg", "left.mp4"]
)
def test_counting_by_decoding_agrees_with_the_probe(clip: ClipPath, name: str) -> None:
    """Where a file is whole, both ways give one number."""
    with clip(name).open("rb") as file:
        assert probe(file).frame_count == count_by_decoding(file) == by_pyav(clip(name).read_bytes())


@pytest.mark.parametrize("part", [0.4, 0.7, 0.95])
@pytest.mark.parametrize("name", CUT)
def test_a_cut_file_cannot_be_counted_either_way(clip: ClipPath, name: str, part: float) -> None:
    """It is never a shorter video."""
    data = clip(name).read_bytes()
    cut = data[: int(len(data) * part)]
    for count in (probe, count_by_decoding):
        with pytest.raises(VideoTruncated):
            count(io.BytesIO(cut))


def test_damage_in_the_middle_shows_when_frames_are_decoded(long_clip: Path) -> None:
    """The index of a damaged file is whole: only decoding tells, and then it is an error, not a lower count."""
    data = bytearray(long_clip.read_bytes())
    start = data.index(b"mdat") + 4
    middle = start + (len(data) - start) // 3
    data[middle : middle + 600] = b"\xff" * 600

    with pytest.raises((VideoUnreadable, VideoTruncated)):
        count_by_decoding(io.BytesIO(bytes(data)))
