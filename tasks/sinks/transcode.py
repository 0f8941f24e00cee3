"""Re-encode a video with every picture painted over, as an H.264 mp4 that browsers play.

Every source frame becomes one output frame at its own time (variable frame rates included),
upright, with even sides. Frames pass one at a time; nothing grows with the video's length.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import DeliveryFailed, StorageUnavailable
from tasks.domain.orientation import to_upright
from tasks.domain.wording import count_of
from tasks.sinks.geometry import Size, same_shape

Image = NDArray[np.uint8]  # [height, width, 3], blue first

# Films only: playlists and concat lists would make FFmpeg open the files that they name.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpegts,mpeg,mpegvideo,m4v,asf,flv,h264,hevc"
# What an mp4 holds and browsers play; other audio would have to be re-encoded.
_COPIED_AUDIO = frozenset({"aac", "mp3"})
# Without macroblock-tree rate control, whose arithmetic reads memory that it never wrote: the same
# pictures would now and then give other bytes, and a second delivery must not change the copy.
_ENCODER = {"preset": "veryfast", "crf": "23", "mbtree": "0"}
_LONGEST_FRAMES = 250
_RGB = 0  # AVCOL_SPC_RGB: of no use as the tag of a YUV picture


@dataclass(slots=True)
class Transcoded:
    """What a transcoding did.

    Attributes:
        frames: How many were written.
        warnings: What was left out, in sentences.
    """

    frames: int = 0
    warnings: list[str] = field(default_factory=list)


def even(side: int) -> int:
    """The next even length: 4:2:0 pictures have no odd sides."""
    return side + side % 2


def transcode(
    source: BinaryIO,
    target: Path,
    *,
    size: tuple[int, int],
    rotation: int,
    mirrored: bool = False,
    track: int = 0,
    rate: Fraction = Fraction(25),
    paint: Callable[[int, Image], None],
) -> Transcoded:
    """Decode ``source``, have each picture painted, and write it to ``target``.

    Args:
        source: A seekable video file.
        size: Width and height of a decoded frame.
        rotation: Counter-clockwise degrees that bring a decoded frame upright.
        mirrored: Whether left and right are then exchanged.
        track: Which of the video tracks is the film, from 0.
        rate: Frames per second.
        paint: Gets each frame's index in decode order and its upright picture, to change in place. A frame of
            another shape than the first is shown within black bars and not painted on.

    Raises:
        DeliveryFailed: The video cannot be decoded or has no picture.
    """
    done = Transcoded()
    with ExitStack() as stack:
        # Errors of FFmpeg may hold a signed URL: only their kind is passed on.
        try:
            reader = stack.enter_context(
                av.open(source, options={"format_whitelist": _FORMATS}, metadata_errors="replace")
            )
            writer = stack.enter_context(av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}))
            _Transcoder(reader, writer, size, (rotation, mirrored), track, rate, done).run(paint)
        except av.FFmpegError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageUnavailable("the local disk is full", hint="make room, then run again") from None
            raise DeliveryFailed(
                f"the video could not be re-encoded after {count_of(done.frames, 'frame')}: {type(error).__name__}",
                hint="it may be damaged: try to play it to its end",
            ) from None
    return done


class _Transcoder:
    """One pass from reader to writer."""

    def __init__(
        self,
        reader: Any,
        writer: Any,
        size: tuple[int, int],
        orientation: tuple[int, bool],
        track: int,
        rate: Fraction,
        done: Transcoded,
    ) -> None:
        self._reader, self._writer, self._done = reader, writer, done
        self._video = _film(reader, track)
        self._size, self._rate = size, rate
        self._rotation, self._mirrored = orientation
        self._turns = self._rotation // 90 % 4
        self._start_s = Fraction(self._video.start_time or 0) * self._video.time_base
        self._first_pts: int | None = None
        self._last_pts = -1
        self._encoder = self._add_encoder()
        self._audio, self._copy = self._add_audio()

    def run(self, paint: Callable[[int, Image], None]) -> None:
        streams = [self._video] if self._audio is None else [self._video, self._audio]
        for packet in self._reader.demux(streams):
            if packet.stream is self._video:
                for frame in packet.decode():
                    self._write(self._painted(frame, paint))
            elif packet.pts is not None and packet.dts is not None:
                self._copy_audio(packet)
        if not self._done.frames:
            raise DeliveryFailed("the video has no picture to draw on")
        for packet in self._encoder.encode():
            self._writer.mux(packet)

    def _add_encoder(self) -> Any:
        video, context = self._video, self._video.codec_context
        encoder = self._writer.add_stream("libx264", rate=self._rate, options=_ENCODER)
        width, height = self._size[::-1] if self._turns % 2 else self._size
        encoder.width, encoder.height, encoder.pix_fmt = even(width), even(height), "yuv420p"
        made = encoder.codec_context
        made.time_base = video.time_base
        if ratio := video.sample_aspect_ratio:
            made.sample_aspect_ratio = 1 / ratio if self._turns % 2 else ratio
        if context.colorspace != _RGB:
            made.colorspace, made.color_range = context.colorspace, context.color_range
            made.color_primaries, made.color_trc = context.color_primaries, context.color_trc
        return encoder

    def _add_audio(self) -> tuple[Any, Any]:
        audio = next(iter(self._reader.streams.audio), None)
        if audio is None:
            return None, None
        codec = audio.codec_context.codec.canonical_name
        if codec not in _COPIED_AUDIO:
            self._done.warnings.append(f"the sound was left out: an mp4 that browsers play does not hold {codec}")
            return None, None
        return audio, self._writer.add_stream_from_template(audio)

    def _painted(self, frame: Any, paint: Callable[[int, Image], None]) -> Any:
        # Streams may change size in the middle; the copy keeps what it was at the start.
        fits = same_shape((frame.width, frame.height), self._size)
        image = _decoded(frame, self._size) if fits else _within_bars(frame, self._size)
        image = _padded(np.ascontiguousarray(to_upright(image, self._rotation, mirrored=self._mirrored)))
        if fits:
            paint(self._done.frames, image)
        painted = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(
            format="yuv420p",
            dst_colorspace=None if frame.colorspace == _RGB else frame.colorspace,
            dst_color_range=frame.color_range or None,
        )
        painted.time_base = self._video.time_base
        painted.pts = self._last_pts = self._time_of(frame)
        # One sample that claims to last for days would make the whole copy do so.
        painted.duration = min(frame.duration, _LONGEST_FRAMES * self._ticks_per_frame())
        return painted

    def _time_of(self, frame: Any) -> int:
        """Ticks since the first picture, always later than the last.

        Raw streams have no times, and spliced ones begin anew: one frame's length after the
        frame before is then the best guess.
        """
        if self._first_pts is None:
            # Not the stream's start time: decoders of containers without proper times add their own delay.
            self._first_pts = frame.pts or 0
            return 0
        pts = -1 if frame.pts is None else frame.pts - self._first_pts
        return int(pts if pts > self._last_pts else self._last_pts + (frame.duration or self._ticks_per_frame()))

    def _ticks_per_frame(self) -> int:
        return max(1, int(1 / (self._rate * self._video.time_base)))

    def _write(self, frame: Any) -> None:
        for packet in self._encoder.encode(frame):
            self._writer.mux(packet)
        self._done.frames += 1

    def _copy_audio(self, packet: Any) -> None:
        """Pass a packet on, moved by as much as the pictures are so that lips stay in step."""
        if self._copy is None:
            return
        shift = round(self._start_s / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = self._copy
        try:
            self._writer.mux(packet)
        except av.FFmpegError:
            self._copy = None
            self._done.warnings.append("the sound ends early: its data does not fit into an mp4")


def _film(reader: Any, track: int) -> Any:
    streams = reader.streams.video
    films = [stream for stream in streams if not stream.disposition & av.stream.Disposition.attached_pic]  # cover art
    if not films:
        raise DeliveryFailed("the file has no video stream, so nothing can be drawn on it")
    film = next((stream for stream in films if stream in streams[track : track + 1]), films[0])
    film.thread_type = "AUTO"
    return film


def _decoded(frame: Any, size: Size) -> Image:
    image: Image = frame.to_ndarray(format="bgr24", width=size[0], height=size[1])
    return image


def _within_bars(frame: Any, size: Size) -> Image:
    """The whole picture in the middle of one of another shape, black around it."""
    width, height = size
    scale = min(width / frame.width, height / frame.height)
    inner = _decoded(frame, (max(1, round(frame.width * scale)), max(1, round(frame.height * scale))))
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    image: Image = np.zeros((height, width, 3), np.uint8)
    image[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return image


def _padded(image: Image) -> Image:
    """Repeat the last row and column where a side is odd."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return image
