"""Opening a video with PyAV, and the translation of everything that PyAV can raise.

Only containers of films are let in: playlists and concat lists, which name *other* files for
libav to open, are refused, as are images and subtitles. Pictures larger than `MOST_PIXELS` are
refused before a decoder takes memory for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any, BinaryIO

import av

from tasks.domain.errors import StorageUnavailable, VideoEmpty, VideoTooLarge, VideoTruncated, VideoUnreadable
from tasks.engine.rate import settled_duration, settled_rate
from tasks.engine.structure import Structure, file_size, structure_of

_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,mpegvideo,m4v,asf,flv,h264,hevc"
# 8K: 8192 x 4320. A decoder holds some twenty pictures of that size in less than 1 GB.
MOST_PIXELS = 8192 * 4320
_MOST_STREAMS = 64
_OPTIONS = {"format_whitelist": _FORMATS, "max_pixels": str(MOST_PIXELS), "max_streams": str(_MOST_STREAMS)}
# A track with less than a tenth of the frames of another, or with one where another has more, holds thumbnails.
_FEW = 10
_PACKETS_TO_TELL = 500
# An index that is empty but says that it lists so many was given up for want of memory; of fewer, it is damaged.
_MOST_FRAMES = 1_000_000
_SHORT_NAMES = {"mpegts": "ts", "mpeg": "mpg", "mpegvideo": "mpg", "asf": "wmv"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A video that is open for reading.

    Attributes:
        container, stream: PyAV's input container and the video stream that is the film.
        track: Which of the video streams that is, from 0.
        structure: The file's outermost parts.
        size: Bytes.
    """

    container: Any
    stream: Any
    track: int
    structure: Structure
    size: int

    @property
    def is_mp4(self) -> bool:
        """MP4 or QuickTime."""
        return self.structure.kind == "mp4"

    @property
    def short_name(self) -> str:
        """``mp4``, ``mov``, ``webm``, ``ts`` …"""
        if self.is_mp4:
            return "mov" if self.container.metadata.get("major_brand", "qt").strip() == "qt" else "mp4"
        name: str = self.container.format.name
        return self.structure.kind or _SHORT_NAMES.get(name, name)

    def rate(self, stamps: Iterable[int | None]) -> Fraction:
        """Frame rate that frames are sampled by.

        Args:
            stamps: Of the frames, in decode order; taken only as far as they are needed.
        """
        stream = self.stream
        stated = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        return settled_rate(
            (rate and Fraction(rate.numerator, rate.denominator) for rate in stated), stamps, stream.time_base
        )

    def duration_s(self, stamps: Iterable[int | None], fps: Fraction, frames: int) -> float:
        """Seconds of film."""
        return settled_duration(self._stated_s, stamps, self.stream.time_base, fps, frames)

    def packets(self) -> Iterator[Any]:
        """The film's packets of which a decoder may make a frame; reads the file from where it is."""
        for packet in self.container.demux(self.stream):
            if packet.size and not packet.is_discard:
                yield packet

    @property
    def index_stamps(self) -> list[int]:
        """Timestamps of all indexed frames, without those that an edit list cuts off."""
        return [entry.timestamp for entry in self.stream.index_entries if entry.size > 0 and not entry.is_discard]

    @property
    def indexed_frames(self) -> int | None:
        """Frames by the container's index, or None where that may not be all there is."""
        if self.is_mp4:
            return None if self.structure.indexed else self._index_entries()
        # the header of an AVI also counts the empty samples that repeat a frame, which are not indexed
        complete = self.structure.kind == "avi" and len(self.stream.index_entries) == self.stream.frames
        return self._index_entries() if complete else None

    @property
    def listed_frames(self) -> int:
        """Frames that the index lists, all of which need not decode; 0 without one."""
        return self._index_entries() if self.is_mp4 or self.structure.kind == "avi" else 0

    def _index_entries(self) -> int:
        return len(self.index_stamps)

    @property
    def _stated_s(self) -> float | None:
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return float(self.container.duration / av.time_base) if self.container.duration else None


@contextmanager
def opened(file: BinaryIO, size: int | None = None) -> Iterator[Opened]:
    """Open a video for the length of the block; what PyAV raises inside is translated, too.

    Args:
        file: Seekable; it is rewound first and stays open afterwards.
        size: Its bytes, if known.

    Raises:
        VideoEmpty: Zero bytes.
        VideoTruncated: The file ends before its own structure says so.
        VideoUnreadable: Not a video, or damaged.
        VideoTooLarge: Its pictures have more than `MOST_PIXELS`, or it needs more memory than there is.
        StorageUnavailable: The file itself failed while it was read.
    """
    stream = None
    try:
        size = file_size(file) if size is None else size
        if size == 0:
            raise VideoEmpty("the video has no bytes")
        structure = structure_of(file, size)
        file.seek(0)
        with _container(file, structure, size) as container:
            track = _film_track(container, file, structure, size)
            stream = container.streams.video[track]
            _refuse_large(stream)
            video = Opened(container, stream, track, structure, size)
            if _is_cut(video):
                raise VideoTruncated(f"the file has {size:,} bytes, less than its own index says")
            yield video
    except MemoryError:  # libav's own, too
        raise VideoTooLarge(
            "the video's tables, tracks or pictures take more memory than a video is given",
            hint="encode it anew (no film has tables that large), or split it",
        ) from None
    except av.error.FFmpegError as error:
        # what a decoder says to pictures beyond its `max_pixels`; libav, looking for their size, leaves it at 0
        if isinstance(error, av.error.ArgumentError) or (stream is not None and not stream.codec_context.width):
            raise VideoTooLarge(
                f"the decoder refuses the pictures: of more than {MOST_PIXELS:,} pixels (8192 x 4320), or of no size"
            ) from None
        # strerror only: the whole text would name the file
        raise VideoUnreadable(f"the video cannot be decoded: {error.strerror}") from None
    except OSError as error:
        raise StorageUnavailable(f"the video could not be read: {error.strerror or type(error).__name__}") from None


def _container(file: BinaryIO, structure: Structure, size: int) -> Any:
    try:
        return av.open(file, "r", options=_OPTIONS, metadata_errors="replace")
    except MemoryError:
        raise
    except av.error.FFmpegError:
        _refuse_cut(structure, size)
        raise VideoUnreadable("the file is not a video that can be decoded") from None


def _refuse_cut(structure: Structure, size: int) -> None:
    if structure.end > size:
        raise VideoTruncated(
            f"the file has {size:,} of the {structure.end:,} or more bytes that it should have"
        ) from None


def _film_track(container: Any, file: BinaryIO, structure: Structure, size: int) -> int:
    """Number of the video stream that is the film: the first that holds more than a few pictures."""
    tracks = [
        number
        for number, stream in enumerate(container.streams.video)
        if not stream.disposition & av.stream.Disposition.attached_pic  # cover art of an audio file
    ]
    if not tracks:
        _refuse_cut(structure, size)  # an index that is cut short may still name the film, and no stream of it
        raise VideoUnreadable("the file has no video stream")
    if len(tracks) == 1:
        return tracks[0]
    if structure.kind == "mp4" and not structure.fragmented:
        frames = {number: len(container.streams.video[number].index_entries) for number in tracks}
    else:
        frames = _frames_at_start(file, tracks, structure, size)
    most = max(frames.values())
    return next(number for number in tracks if frames[number] * _FEW >= most and (frames[number] > 1 or most <= 1))


def _frames_at_start(file: BinaryIO, tracks: list[int], structure: Structure, size: int) -> dict[int, int]:
    """Packets of each video stream among the first few hundred of the file."""
    frames = dict.fromkeys(tracks, 0)
    file.seek(0)
    with _container(file, structure, size) as container:
        number_of = {container.streams.video[number].index: number for number in tracks}
        for packet in islice(container.demux(video=tracks), _PACKETS_TO_TELL):
            frames[number_of[packet.stream.index]] += packet.size > 0
    file.seek(0)
    return frames


def _refuse_large(stream: Any) -> None:
    """Refuse pictures above the limit, and tables beyond our memory, by what the header says of them.

    A header may also understate pictures: the decoder itself has the same limit.
    """
    if stream.frames > _MOST_FRAMES and not stream.index_entries:  # libav gives the index up and goes on
        raise MemoryError
    context = stream.codec_context
    if context.width * context.height > MOST_PIXELS:
        raise VideoTooLarge(
            f"the video's pictures have {context.width} x {context.height} pixels; "
            f"at most {MOST_PIXELS:,} (8192 x 4320) are read"
        )
    context.options = {"max_pixels": str(MOST_PIXELS)}


def _is_cut(video: Opened) -> bool:
    """Whether the file ends early, by the most trustworthy witness that the format offers."""
    beyond = video.structure.end > video.size
    if video.is_mp4:
        index_beyond = any(entry.pos + entry.size > video.size for entry in video.stream.index_entries)
        # an mdat that overstates its size is harmless as long as every sample is there
        return index_beyond or (beyond and (video.structure.fragmented or video.structure.last == "moov"))
    if video.structure.kind == "avi":  # a size that is off does no harm as long as the index at the end is there
        return beyond and len(video.stream.index_entries) < video.stream.frames
    return beyond
