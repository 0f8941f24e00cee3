"""What Labelbox takes as a video. No I/O."""

from __future__ import annotations

from tasks.domain.errors import DeliveryFailed
from tasks.domain.video import VideoInfo, VideoRef

# Labelbox documentation, "Import video data": specifications and limits.
MOST_FRAMES = 20_000
MOST_BYTES = 1024 * 1000 * 1000
_CONTAINERS = frozenset({"mp4", "mov"})
_CODECS = frozenset({"h264", "hevc"})


def require_importable(video: VideoRef, info: VideoInfo) -> None:
    """Refuse a video that Labelbox would not take as a data row.

    Raises:
        DeliveryFailed: It is too long or too large.
    """
    if info.frame_count > MOST_FRAMES:
        raise DeliveryFailed(
            f"the video has {info.frame_count} frames, Labelbox takes {MOST_FRAMES}",
            hint="cut it into shorter ones before they are inferred",
        )
    if video.size > MOST_BYTES:
        raise DeliveryFailed(
            f"the video has {video.size // 1000**2} MB, Labelbox takes {MOST_BYTES // 1000**2}",
            hint="encode it again at a lower bit rate, or cut it, before it is inferred",
        )


def playing_warnings(info: VideoInfo) -> list[str]:
    """Say what Labelbox' editor may not play, or show on other frames."""
    warnings = []
    if info.container not in _CONTAINERS or info.codec not in _CODECS:
        warnings.append(f"Labelbox plays MP4 with H.264 or H.265, this is {info.container} with {info.codec}")
    if abs(float(info.fps) * info.duration_s - info.frame_count) > 1.5:
        warnings.append(
            "frame rate times duration is not the number of frames: Labelbox may show annotations on other frames"
        )
    return warnings
