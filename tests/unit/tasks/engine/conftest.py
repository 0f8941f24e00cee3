"""What the engine's tests share."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.clips import write_clip

# Milliseconds: bursts and pauses, as a phone records them.
UNEVEN_MS = [0, 20, 40, 90, 123, 150, 400, 420, 470, 503, 536, 600, 700, 710, 830, 900, 950, 1000, 1100, 1300]

CLIPS: dict[str, dict[str, Any]] = {
    "b_frames.mp4": {"b_frames": 3},
    "faststart.mp4": {"movflags": "faststart"},
    "fragmented.mp4": {"movflags": "frag_keyframe+empty_moov"},
    "fragmented_late.mp4": {"movflags": "frag_keyframe"},
    "fragmented_indexed.mp4": {"movflags": "dash+frag_keyframe+empty_moov+default_base_moof+global_sidx"},
    "fragmented_bare.mp4": {"movflags": "cmaf+frag_every_frame+empty_moov+skip_trailer"},
    "uneven.mp4": {"frames": len(UNEVEN_MS), "times_ms": UNEVEN_MS},
    "ntsc.mp4": {"fps": Fraction(30000, 1001)},
    "hevc.mov": {"codec": "libx265"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mjpeg.avi": {"codec": "mjpeg", "b_frames": 0},
    "vp9.webm": {"codec": "libvpx-vp9", "b_frames": 0},
    "h264.mkv": {},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "h264.ts": {},
    "flv1.flv": {"codec": "flv1", "b_frames": 0},
    "wmv2.wmv": {"codec": "wmv2", "b_frames": 0, "muxer": "asf"},
    "raw.hevc": {"codec": "libx265", "muxer": "hevc"},
    "left.mp4": {"rotation": 90},
    "upside_down.mp4": {"rotation": 180},
    "right.mp4": {"rotation": -90},
}


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of one of the clips above, made on first use."""
    folder = tmp_path_factory.mktemp("clips")

    def make(name: str) -> Path:
        path = folder / name
        return path if path.exists() else write_clip(path, **CLIPS[name])

    return make
