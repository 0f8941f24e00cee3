"""Deliveries of real clips to the video route, for its tests."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tasks.domain.video import VideoInfo
from tasks.predictions.interpolate import Interpolator
from tasks.sinks.base import Delivery
from tasks.sinks.video import VideoSink
from tasks.storage.base import Storage
from tests.contracts.deliveries import Frames, make_delivery, model_predictions, video_info

Image = NDArray[np.uint8]


def black(index: int, width: int, height: int) -> Image:
    return np.zeros((height, width, 3), np.uint8)


def sink(store: Storage, *, min_confidence: float | None = None) -> VideoSink:
    return VideoSink(store, interpolate=Interpolator, min_confidence=min_confidence)


def delivery_of(clip: Path, folder: Path, frames: Frames, *, name: str = "cup/final.mp4", every: int = 6) -> Delivery:
    """A delivery of a real clip, inferred upright at full size."""
    info = probed(clip)
    models = [model_predictions(frames, size=info.display_size)]
    delivery = make_delivery(folder, frames, name=name, every=every, info=info, models=models)
    return replace(delivery, open_video=lambda: clip.open("rb"))


def probed(clip: Path) -> VideoInfo:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        first = frames[0]
        info = video_info(size=(first.width, first.height), rotation=round(first.rotation) % 360)
        return replace(info, fps=Fraction(stream.average_rate), frame_count=len(frames))
