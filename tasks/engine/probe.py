"""What a video says about itself, and how many frames a decoder really gives out.

The header's own frame count is never used: it is 0 for fragmented MP4 and WebM, and too high
for trimmed files. Which other witness is right depends on the container.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from tasks.domain.errors import VideoEmpty
from tasks.domain.video import VideoInfo
from tasks.engine.container import Opened, opened


def probe(file: BinaryIO, *, size: int | None = None) -> VideoInfo:
    """Read size, rotation, frame rate, frame count and duration of a video.

    An MP4 costs its index and one decoded frame, a few hundred KiB however long it is; other
    containers are read from start to end, without decoding.

    Args:
        file: Seekable; left anywhere, never closed.
        size: Its bytes, if known.

    Raises:
        VideoEmpty: No bytes, or no frames.
        VideoTruncated: The file ends before its own structure says so.
        VideoUnreadable: Not a video, or damaged.
        ReelrouteError: Whatever ``file`` itself raises.
    """
    with opened(file, size) as video:
        count = video.indexed_frames
        frame = _first_frame(video)
        fps, duration_s = video.fps, video.duration_s
        facts = {"container": video.short_name, "codec": video.stream.codec_context.name}
    if count is None:
        with opened(file, size) as video:
            count = _demuxed(video)
    if count is None:
        count = count_by_decoding(file)
    return VideoInfo(
        width=frame.width,
        height=frame.height,
        rotation=rotation_of(frame),
        fps=fps,
        frame_count=count,
        duration_s=duration_s if duration_s is not None else float(count / fps),
        **facts,
    )


def count_by_decoding(file: BinaryIO) -> int:
    """Count the frames that a decoder really gives out, at the cost of decoding all of them.

    Args:
        file: Seekable; left anywhere, never closed.

    Raises:
        VideoEmpty, VideoTruncated, VideoUnreadable: As for :func:`probe`, and for damage anywhere.
    """
    with opened(file) as video:
        count = sum(1 for _ in video.container.decode(video.stream))
        video.require_most(count)
        return count


def rotation_of(frame: Any) -> int:
    """Counter-clockwise degrees by which a player turns a decoded frame: 0, 90, 180 or 270."""
    quarter_turns: int = round(frame.rotation / 90) % 4
    return quarter_turns * 90


def _first_frame(video: Opened) -> Any:
    for frame in video.container.decode(video.stream):
        return frame
    video.require_most(0)
    raise VideoEmpty("the video has no frames")


def _demuxed(video: Opened) -> int | None:
    """Frames by their packets; None when some may not decode (a start in mid-GOP, damage)."""
    count = 0
    for packet in video.container.demux(video.stream):
        if packet.size == 0 or packet.is_discard:
            continue
        if packet.is_corrupt or (count == 0 and not packet.is_keyframe):
            return None
        count += 1
    return count
