"""One video through one or more models, into a results JSON as the hosted service writes it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from tasks.domain.errors import ModelInvalid, StorageUnavailable
from tasks.domain.wording import count_of
from tasks.engine.detectors import Detected, Detector
from tasks.engine.frames import SampledFrame, sampled_frames
from tasks.engine.onnx_session import FrameNotInferred

_SPOOL_BYTES = 1024 * 1024


class _ImageSize(msgspec.Struct, frozen=True):
    width: int
    height: int


class _FrameResult(msgspec.Struct, frozen=True):
    """One element of a model's list; ``time`` is the seconds that inference took."""

    time: float
    image: _ImageSize
    predictions: list[Detected]


def infer_video(
    file: BinaryIO,
    models: Mapping[str, Detector],
    *,
    fps: float,
    confidence: float | None,
    target: Path,
    size: int | None = None,
    max_duration_s: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Run every model over the sampled frames, write the results JSON, return the number of frames.

    The JSON is that of the hosted Video Inference API: ``frame_offset``, ``time_offset`` and, by
    model, one element per frame; ``null`` where the model failed on that frame. Images are as a
    viewer sees them, rotation applied. ``target`` appears only when it is whole; memory does not
    grow with the video.

    Args:
        file: The video, seekable; left anywhere, never closed.
        models: Key in the results (project slug) -> detector.
        fps: Frames per second of video to infer.
        confidence: Threshold in 0..1, or None for the detectors' default.
        target: Where the JSON goes; its folder must exist.
        size: Bytes of the file, if known.
        max_duration_s: Refuse longer videos.
        clock: Seconds, for the ``time`` of each frame.

    Raises:
        FpsTooHigh, InputInvalid, VideoEmpty, VideoTooLarge, VideoTruncated, VideoUnreadable:
            As :func:`tasks.engine.frames.sampled_frames`; nothing is left at ``target``.
        ModelInvalid: A model failed on every single frame.
        StorageUnavailable: The results could not be written.
        ReelrouteError: Whatever ``file`` itself raises.
    """
    sampled = sampled_frames(file, fps, size=size, max_duration_s=max_duration_s)
    try:
        with ExitStack() as stack:
            columns = {
                key: _Column(stack.enter_context(tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=str(target.parent))))
                for key in ("frame_offset", "time_offset", *models)
            }
            frames = _fill(columns, sampled, models, confidence, clock)
            _write(target, columns)
            return frames
    except OSError as error:
        raise StorageUnavailable(f"the results could not be written: {error.strerror}") from None


def _fill(
    columns: Mapping[str, _Column],
    sampled: Iterable[SampledFrame],
    models: Mapping[str, Detector],
    confidence: float | None,
    clock: Callable[[], float],
) -> int:
    reasons: dict[str, str] = {}
    frames = 0
    for frame in sampled:
        frames += 1
        columns["frame_offset"].append(frame.frame_index)
        columns["time_offset"].append(frame.time_s)
        for key, detector in models.items():
            try:
                columns[key].append(_inferred(detector, frame, confidence, clock))
            except FrameNotInferred as error:
                columns[key].append(None)
                reasons[key] = error.message
    for key, reason in reasons.items():
        if columns[key].nulls == frames:
            raise ModelInvalid(f"{key} failed on each of {count_of(frames, 'frame')}, at last with: {reason}")
    return frames


def _inferred(
    detector: Detector, frame: SampledFrame, confidence: float | None, clock: Callable[[], float]
) -> _FrameResult:
    height, width = frame.rgb.shape[:2]
    begun = clock()
    found = detector.detect(frame.rgb, confidence)
    return _FrameResult(round(clock() - begun, 6), _ImageSize(width, height), found)


class _Column:
    """A JSON list that is written as it grows, to a file once it is large."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._length = 0
        self.nulls = 0

    def append(self, value: float | _FrameResult | None) -> None:
        self._spool.write(b"," if self._length else b"[")
        self._spool.write(msgspec.json.encode(value))
        self._length += 1
        self.nulls += value is None

    def copy_to(self, file: IO[bytes]) -> None:
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, file)
        file.write(b"]")


def _write(target: Path, columns: Mapping[str, _Column]) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            for number, (key, column) in enumerate(columns.items()):
                file.write(b"," if number else b"{")
                file.write(msgspec.json.encode(key) + b":")
                column.copy_to(file)
            file.write(b"}")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
