"""Read a results JSON of the Video Inference API into columns. Trusts nothing in it.

    {"frame_offset": [0, 6, 12], "time_offset": [0.0, 0.25, 0.5], "<model>": [frame | null, ...], ...}

Both spellings of the two lists (singular, plural) occur, ``time_offset`` may be missing, a model's
key may carry its version. The file is mapped, not read, and frames are decoded one by one, so that
memory stays near the size of the file; the columns are completed when the text has been let go.
"""

from __future__ import annotations

import mmap
from array import array
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import Bool, Int32, Int64, ModelPredictions, Predictions, TaskType
from tasks.domain.video import printable
from tasks.predictions.json_text import Members, decode_each, open_object, refusal
from tasks.predictions.objects import DetectionReader, GazeReader
from tasks.predictions.shapes import task_of
from tasks.predictions.whole_frames import EmbeddingReader, LabelMapReader, LabelReader

_FrameIndex = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

# A whole video's times against those at its average frame rate.
_MOST_UNEVEN = 5.0
_FRAME_KEYS = ("frame_offset", "frame_offsets")
_TIME_KEYS = ("time_offset", "time_offsets")
_NO_MODELS = frozenset({*_FRAME_KEYS, *_TIME_KEYS, "time", "inference_id", "visualization"})


class _Reader(Protocol):
    """Collects the frames of one kind of model."""

    shape: Any

    def add(self, sample: int, frame: Any) -> None: ...

    def finish(self, inferred: Bool, image_size: Int32) -> ModelPredictions: ...


class _ReaderOf(Protocol):
    def __call__(self, model: str, samples: int, task: TaskType | None) -> _Reader: ...


_READERS: dict[TaskType, _ReaderOf] = {
    TaskType.OBJECT_DETECTION: DetectionReader,
    TaskType.INSTANCE_SEGMENTATION: DetectionReader,
    TaskType.KEYPOINT_DETECTION: DetectionReader,
    TaskType.GAZE: GazeReader,
    TaskType.CLASSIFICATION: LabelReader,
    TaskType.MULTILABEL_CLASSIFICATION: LabelReader,
    TaskType.EMBEDDING: EmbeddingReader,
    TaskType.SEMANTIC_SEGMENTATION: LabelMapReader,
}
_FOUNDATION = {"clip": TaskType.EMBEDDING, "gaze": TaskType.GAZE}


def parse_results(
    path: Path, *, tasks: Mapping[str, TaskType] | None = None, video_fps: float | None = None
) -> Predictions:
    """Read a results file into columns, or say what is wrong with it.

    Args:
        path: The JSON as the service gave it, not compressed; must not change meanwhile.
        tasks: Project slug of a model -> its kind. Models that are not in it, or are ``NONE``,
            are recognised by their first frame that tells.
        video_fps: Frame rate of the video. Times are derived from it where the service gave
            none, or gave times that go back or are no seconds; without it those are NaN.

    Raises:
        ResultInvalid: It is no results JSON (an empty object, a job's status, an error, a web
            page, a text cut short) or no consistent one (lists of different lengths, frames out
            of order, wrong types, numbers that are not finite). The message names the field.
    """
    # The text is handed over, not held: parse_bytes lets go of it as soon as it can.
    return parse_bytes(_mapped(path), tasks=tasks, video_fps=video_fps)


def parse_bytes(
    data: bytes | mmap.mmap, *, tasks: Mapping[str, TaskType] | None = None, video_fps: float | None = None
) -> Predictions:
    """Read results that are in memory; the rest is as for :func:`parse_results`."""
    top = open_object(data)
    del data
    frame_index = _frame_index(top)
    time_s = _times(top, frame_index, video_fps)
    known = {_slug(key): task for key, task in (tasks or {}).items() if task is not TaskType.NONE}
    lists = _models(top, known, len(frame_index))
    del top
    slugs = Counter(map(_slug, lists))
    models = []
    for key in tuple(lists):
        slug = _slug(key)
        # Two versions of one project cannot both go by its slug.
        name = slug if slugs[slug] == 1 else key
        models.append(_read_model(name, lists.pop(key), known.get(slug) or _FOUNDATION.get(slug)))
    return Predictions(frame_index=frame_index, time_s=time_s, models=tuple(models))


def _mapped(path: Path) -> bytes | mmap.mmap:
    try:
        with path.open("rb") as file:
            # An empty file cannot be mapped.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except OSError as error:
        raise ResultInvalid(f"the results file cannot be read: {error.strerror or error}") from None


def _slug(key: str) -> str:
    """Take the version off ``slug/version``."""
    slug, _, version = key.rpartition("/")
    return slug if slug and version.isdecimal() else key


def _models(top: Members, known: Mapping[str, TaskType], samples: int) -> dict[str, list[msgspec.Raw]]:
    """Pick the members that hold a model's frames: every list does, and what is known to be a model must."""
    models = {}
    for key, value in top.items():
        if key in _NO_MODELS or not (isinstance(value, list) or _slug(key) in known):
            continue
        if not key.isprintable():
            raise ResultInvalid(f"'{printable(key)}' cannot be the name of a model")
        if not isinstance(value, list):
            raise ResultInvalid(f"{key}: expected a list of frames, got something else")
        if len(value) != samples:
            raise ResultInvalid(f"{key} has {len(value)} entries, but there are {samples} frame offsets")
        models[key] = value
    if not models:
        raise ResultInvalid("the results have frame offsets, but no model's predictions")
    return models


def _numbers(top: Members, keys: tuple[str, ...], kind: Any) -> tuple[str, list[Any] | None]:
    """Take a list of numbers under either of its spellings; None if there is no such list."""
    key = next((key for key in keys if key in top), keys[0])
    values = top.get(key)
    if values is None:
        return key, None
    if not isinstance(values, list):
        raise ResultInvalid(f"{key}: expected a list, got something else")
    return key, list(decode_each(values, kind, key))


def _frame_index(top: Members) -> Int64:
    key, numbers = _numbers(top, _FRAME_KEYS, _FrameIndex)
    if numbers is None:
        raise _not_results(top)
    if not numbers:
        raise ResultInvalid(f"{key} is empty: no frame was inferred")
    index = np.array(numbers, np.int64)
    back = np.flatnonzero(np.diff(index) <= 0)
    if len(back):
        at = int(back[0]) + 1
        raise ResultInvalid(f"{key}[{at}]: {index[at]} does not come after {index[at - 1]}")
    return index


def _not_results(top: Members) -> ResultInvalid:
    """Say what an object without frame offsets is instead."""
    if not top:
        return ResultInvalid(
            "the results are an empty object: nothing was inferred",
            hint="the service gives no output where `inference.fps` is above the video's own frame rate",
        )
    if "status" in top or "job_id" in top:
        return ResultInvalid("this is a job's status, not its results")
    if "error" in top or "message" in top:
        return ResultInvalid("this is an error message of the service, not results")
    return ResultInvalid("the results have no frame_offset")


def _times(top: Members, frame_index: Int64, video_fps: float | None) -> NDArray[np.float64]:
    """Times as given; derived where they are missing or, if they cannot be this video's seconds, altogether."""
    derived = frame_index / video_fps if video_fps else np.full(len(frame_index), np.nan)
    key, numbers = _numbers(top, _TIME_KEYS, float | None)
    if numbers is None:
        return derived
    given = np.array(numbers, np.float64)
    if len(given) != len(frame_index):
        raise ResultInvalid(f"{key} has {len(given)} entries, but there are {len(frame_index)} frame offsets")
    finite = np.isfinite(given)
    # Broken timestamps in a video: times that go back are no times to go by.
    if (np.diff(given[finite]) < 0).any() or _of_another_unit(given[finite], derived[finite]):
        return derived
    return np.where(finite, given, derived)


def _of_another_unit(given: NDArray[np.float64], derived: NDArray[np.float64]) -> bool:
    """Whether times are milliseconds, ticks or frame numbers, or all the same: no frame rate varies by that much."""
    if len(given) < 2 or np.isnan(derived[0]):
        return False
    return not 1 / _MOST_UNEVEN < (given[-1] - given[0]) / (derived[-1] - derived[0]) < _MOST_UNEVEN


def _read_model(model: str, frames: list[msgspec.Raw], task: TaskType | None) -> ModelPredictions:
    """Decode one model's frames. Empties the list, and with it the text, before the columns are completed."""
    kind = task or _recognised(model, frames)
    reader = _READERS[kind](model, len(frames), task)
    decode_frame = msgspec.json.Decoder(reader.shape | None, strict=False).decode
    inferred = bytearray(len(frames))
    image_size = array("i", bytes(8 * len(frames)))
    sample = 0
    try:
        for sample, raw in enumerate(frames):
            frame = decode_frame(raw)
            if frame is None:
                continue
            inferred[sample] = 1
            image = getattr(frame, "image", None)
            if image is not None:
                image_size[2 * sample] = image.width or 0
                image_size[2 * sample + 1] = image.height or 0
            reader.add(sample, frame)
    except (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError) as error:
        raise refusal(error, f"{model}[{sample}]") from None
    frames.clear()
    del raw
    return reader.finish(np.frombuffer(inferred, np.bool_), np.frombuffer(image_size, np.int32).reshape(-1, 2))


def _recognised(model: str, frames: list[msgspec.Raw]) -> TaskType:
    """Tell the kind of model from its first frame that tells; boxes, if none does."""
    told = (task_of(frame) for frame in decode_each(frames, Any, model))
    return next((task for task in told if task is not None), TaskType.OBJECT_DETECTION)
