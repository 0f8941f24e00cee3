"""What a video is: an object version in a store, and what its container says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

# The containers that the hosted Video Inference API takes.
HOSTED_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".webm"})
# Those, and what PyAV reads besides: of phones and cameras, broadcast, discs, the web and bare streams. Not among
# them: .lrv and .lrf, which action cameras and drones write beside each video as a small copy of it.
VIDEO_SUFFIXES = HOSTED_SUFFIXES | {
    *(".mov", ".qt", ".m4v", ".3gp", ".3g2", ".insv", ".mts", ".m2ts", ".m2t", ".ts", ".tod", ".dv"),
    *(".mxf", ".mpg", ".mpeg", ".mpe", ".m2v", ".m1v", ".vob", ".divx", ".xvid"),
    *(".ogv", ".ogm", ".flv", ".f4v", ".wmv", ".asf", ".rm", ".rmvb", ".wtv"),
    *(".y4m", ".h264", ".264", ".h265", ".265", ".hevc", ".mjpg", ".mjpeg", ".ivf"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRef:
    """One version of one object.

    Attributes:
        uri: ``scheme://container/key`` with the key verbatim, never percent-encoded.
        version: S3 version id or ETag, GCS generation, Azure ETag, file mtime and size.
        size: Bytes.
        modified: Last change, timezone-aware UTC.
        name: What routes call the video: its key below the source's prefix (``/``-separated),
            preceded by the source's label where a pipeline has several sources.
    """

    uri: str
    version: str
    size: int = field(compare=False)
    modified: datetime = field(compare=False)
    name: str = field(compare=False)

    @property
    def scheme(self) -> str:
        """``file``, ``s3``, ``gs`` or ``az``."""
        return self.uri.split("://", 1)[0]

    @property
    def suffix(self) -> str:
        """Extension of the name with its dot and its case kept, or ""."""
        last = self.name.rsplit("/", 1)[-1]
        dot = last.rfind(".")
        return last[dot:] if dot > 0 else ""

    def __str__(self) -> str:
        """The name with control characters escaped, fit for a log line."""
        return printable(self.name)


def has_video_suffix(key: str) -> bool:
    """Tell whether the last part of a key ends as videos do, in any case, and is more than a suffix."""
    stem, dot, suffix = key.rsplit("/", 1)[-1].rpartition(".")
    return bool(stem and dot) and f".{suffix.lower()}" in VIDEO_SUFFIXES


def printable(text: str) -> str:
    """``text`` with control characters and lone surrogates escaped, everything else as it is."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What the container and a count of its frames say.

    Attributes:
        width, height: Coded size of the first frame in pixels, before it is turned or mirrored.
        rotation: Counter-clockwise degrees by which a player turns the frame (0, 90, 180, 270).
        mirrored: Whether it then mirrors left and right.
        fps: Frame rate that frames are sampled by: what the container states, or what the timestamps
            show where it states none or nonsense.
        frame_count: Frames that a decoder gives out (never the header's own count).
        duration_s: Seconds.
        container: Short name such as ``mp4``, ``avi``, ``webm``.
        codec: Such as ``h264``.
        track: Which of the video tracks is the film, from 0; tracks before it hold only pictures.
    """

    width: int
    height: int
    rotation: int
    mirrored: bool = False
    fps: Fraction
    frame_count: int
    duration_s: float
    container: str
    codec: str
    track: int = 0

    @property
    def display_size(self) -> tuple[int, int]:
        """(width, height) as a viewer sees it, after rotation."""
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A URL that grants access to whoever holds it: never shown, logged or stored.

    Attributes:
        url: Use it byte for byte; re-encoding breaks the signature.
        expires_at: When it really stops working, which may be earlier than asked for;
            None for a public object's plain URL.
        bound: It gives one version of the object and never another.
    """

    url: str = field(repr=False)
    expires_at: datetime | None
    bound: bool = False
