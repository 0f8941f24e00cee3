"""What a video says about itself, and how many frames a decoder really gives out.

The header's own frame count is never used: it is 0 for fragmented MP4 and WebM, and too high
for trimmed files. Which other witness is right depends on the container.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, BinaryIO

from tasks.domain.errors import VideoEmpty, VideoTruncated
from tasks.domain.video import VideoInfo
from tasks.domain.wording import count_of
from tasks.engine.container import Opened, opened
from tasks.engine.orientation import orientation_of

# Packets at the start of a film among which those stand that refer to what was cut off.
_START = 24


def probe(file: BinaryIO, *, size: int | None = None) -> VideoInfo:
    """Read size, rotation, frame rate, frame count and duration of a video.

    An MP4 costs its index and one decoded frame, a few hundred KiB however long it is; other
    containers are read from start to end, without decoding.

    Args:
        file: Seekable; left anywhere, never closed.
        size: Its bytes, if known.

    Raises:
        VideoEmpty: No bytes, or no frames.
        VideoTooLarge: Its pictures are too large.
        VideoTruncated: The file ends before its own structure says so.
        VideoUnreadable: Not a video, or damaged.
        ReelrouteError: Whatever ``file`` itself raises.
    """
    with opened(file, size) as video:
        count = video.indexed_frames
        stamps: list[int | None] = [*video.index_stamps]
        frame = _first_frame(video)
        facts = {"container": video.short_name, "codec": video.stream.codec_context.name, "track": video.track}
    if count is None:
        with opened(file, size) as video:
            count, stamps = _demuxed(video)
    if count is None:
        count = count_by_decoding(file)
    elif lost := _lost_at_start(file, size):
        count -= lost
    with opened(file, size) as video:
        fps = video.rate(stamps)
        duration_s = video.duration_s(stamps, fps, count)
    rotation, mirrored = orientation_of(frame)
    return VideoInfo(
        width=frame.width,
        height=frame.height,
        rotation=rotation,
        mirrored=mirrored,
        fps=fps,
        frame_count=count,
        duration_s=duration_s,
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
        listed = video.listed_frames
    require_most(file, size=None, count=count, listed=listed)
    return count


def require_most(file: BinaryIO, *, size: int | None, count: int, listed: int) -> None:
    """Compare a count of decoded frames with those that the file's index lists.

    A few less are normal (packed B-frames), and so are all those that refer to what was cut off
    before the start; many mean that a damaged file was skipped through, which libav does not report.

    Raises:
        VideoTruncated: More than a tenth is missing.
    """
    if count * 10 < listed * 9 and (not count or count * 10 < (listed - _lost_at_start(file, size)) * 9):
        raise VideoTruncated(f"only {count} of the video's {count_of(listed, 'frame')} could be read")


def stamp_of(packet: Any) -> int | None:
    """When a packet's frame is shown (or else decoded), in ticks of its stream; None if it does not say."""
    stamp: int | None = packet.dts if packet.pts is None else packet.pts
    return stamp


def _first_frame(video: Opened) -> Any:
    for frame in video.container.decode(video.stream):
        return frame
    if listed := video.listed_frames:
        raise VideoTruncated(f"none of the video's {count_of(listed, 'frame')} could be read")
    raise VideoEmpty("the video has no frames")


def _demuxed(video: Opened) -> tuple[int | None, list[int | None]]:
    """Frames by their packets, and the packets' timestamps.

    The number is None when some may not decode (a start in mid-GOP, damage).
    """
    stamps: list[int | None] = []
    sure = True
    for packet in video.packets():
        sure = sure and not packet.is_corrupt and (len(stamps) > 0 or packet.is_keyframe)
        stamps.append(stamp_of(packet))
    return (len(stamps) if sure else None), stamps


def _lost_at_start(file: BinaryIO, size: int | None) -> int:
    """Frames at the start that no decoder gives out: they refer to what was cut off before them.

    A cut at an open GOP leaves them: they are shown before the keyframe that they come after.
    """
    with opened(file, size) as video:
        first, *after = [stamp_of(packet) or 0 for packet in islice(video.packets(), _START)] or [0]
        leading = sum(stamp < first for stamp in after)
    if not leading:
        return 0
    with opened(file, size) as video:
        fed = given = 0
        # What an edit list hides is fed as well, since others refer to it; no decoder gives it out.
        for packet in video.container.demux(video.stream):
            fed += packet.size > 0 and not packet.is_discard
            given += len(packet.decode())
            if fed > leading + _START:
                given += len(video.stream.codec_context.decode(None))
                break
        return fed - given
