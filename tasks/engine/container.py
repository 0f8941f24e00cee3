"""Opening a video with PyAV, and the translation of everything that PyAV can raise.

Only containers of films are let in: playlists and concat lists, which name *other* files for
libav to open, are refused, as are images and subtitles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av

from tasks.domain.errors import StorageUnavailable, VideoEmpty, VideoTruncated, VideoUnreadable
from tasks.engine.structure import Structure, file_size, structure_of

_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,mpegvideo,m4v,asf,flv,h264,hevc"
_SHORT_NAMES = {"mpegts": "ts", "mpeg": "mpg", "mpegvideo": "mpg", "asf": "wmv"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A video that is open for reading.

    Attributes:
        container, stream: PyAV's input container and its first real video stream.
        structure: The file's outermost parts.
        size: Bytes.
    """

    container: Any
    stream: Any
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

    @property
    def fps(self) -> Fraction:
        """Average frame rate as the container states it.

        Raises:
            VideoUnreadable: It states none.
        """
        for rate in (self.stream.average_rate, self.stream.guessed_rate, self.stream.base_rate):
            if rate:
                return Fraction(rate.numerator, rate.denominator)
        raise VideoUnreadable("the video states no frame rate")

    @property
    def indexed_frames(self) -> int | None:
        """Frames by the container's index, or None where that may not be all there is."""
        if self.is_mp4:
            return None if self.structure.indexed else self._index_entries()
        # the header of an AVI also counts the empty samples that repeat a frame, which are not indexed
        complete = self.structure.kind == "avi" and len(self.stream.index_entries) == self.stream.frames
        return self._index_entries() if complete else None

    def require_most(self, count: int) -> None:
        """Compare a count of frames with the index, where there is one.

        A few less are normal (frames that refer to what was cut off, packed B-frames), many mean
        that a damaged file was skipped through, which libav does not report.

        Raises:
            VideoTruncated: More than a tenth is missing.
        """
        indexed = self._index_entries() if self.is_mp4 or self.structure.kind == "avi" else 0
        if count * 10 < indexed * 9:
            raise VideoTruncated(f"only {count} of the video's {indexed} frames could be read")

    def _index_entries(self) -> int:
        """Indexed samples, without those that an edit list cuts off."""
        return sum(1 for entry in self.stream.index_entries if entry.size > 0 and not entry.is_discard)

    @property
    def duration_s(self) -> float | None:
        """Seconds as the container states them, or None."""
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
        StorageUnavailable: The file itself failed while it was read.
    """
    try:
        size = file_size(file) if size is None else size
        if size == 0:
            raise VideoEmpty("the video has no bytes")
        structure = structure_of(file, size)
        file.seek(0)
        with _container(file, structure, size) as container:
            stream = _video_stream(container, structure, size)
            video = Opened(container, stream, structure, size)
            if _is_cut(video):
                raise VideoTruncated(f"the file has {size:,} bytes, less than its own index says")
            yield video
    except av.error.FFmpegError as error:
        # strerror only: the whole text would name the file
        raise VideoUnreadable(f"the video cannot be decoded: {error.strerror}") from None
    except OSError as error:
        raise StorageUnavailable(f"the video could not be read: {error.strerror or type(error).__name__}") from None


def _container(file: BinaryIO, structure: Structure, size: int) -> Any:
    try:
        return av.open(file, "r", options={"format_whitelist": _FORMATS}, metadata_errors="replace")
    except av.error.FFmpegError:
        _refuse_cut(structure, size)
        raise VideoUnreadable("the file is not a video that can be decoded") from None


def _refuse_cut(structure: Structure, size: int) -> None:
    if structure.end > size:
        raise VideoTruncated(
            f"the file has {size:,} of the {structure.end:,} or more bytes that it should have"
        ) from None


def _video_stream(container: Any, structure: Structure, size: int) -> Any:
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:  # cover art of an audio file
            return stream
    _refuse_cut(structure, size)  # an index that is cut short may still name the film, and no stream of it
    raise VideoUnreadable("the file has no video stream")


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
