"""Deliveries as the pipeline would hand them to a sink, made from a few lines of test data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from tasks.domain.job import InferenceSpec, ModelRef, job_key
from tasks.domain.predictions import Labels, ModelPredictions, Objects, Predictions, TaskType
from tasks.domain.video import VideoInfo, VideoRef
from tasks.sinks.base import Delivery


class Box(NamedTuple):
    """One detection: centre, size and so on, as Roboflow says it."""

    x: float
    y: float
    width: float
    height: float
    name: str = "player"
    confidence: float = 0.5
    track: int = -1


Frames = Sequence[Sequence[Box] | None]  # None: the service failed on this frame


def model_predictions(
    frames: Frames,
    *,
    model: str = "football",
    task: TaskType = TaskType.OBJECT_DETECTION,
    size: tuple[int, int] = (640, 360),
) -> ModelPredictions:
    """One model's columns."""
    rows = [(sample, box) for sample, boxes in enumerate(frames) for box in boxes or ()]
    classes = tuple(dict.fromkeys(box.name for _, box in rows))
    n, inferred = len(rows), np.array([boxes is not None for boxes in frames], dtype=np.bool_)
    objects = Objects(
        sample=np.array([sample for sample, _ in rows], dtype=np.int32),
        box=np.array([box[:4] for _, box in rows], dtype=np.float32).reshape(n, 4),
        confidence=np.array([box.confidence for _, box in rows], dtype=np.float32),
        class_code=np.array([classes.index(box.name) for _, box in rows], dtype=np.int32),
        track=np.array([box.track for _, box in rows], dtype=np.int64),
        polygon=np.zeros((0, 2), dtype=np.float32),
        polygon_start=np.zeros(n + 1, dtype=np.int64),
        rle={},
        keypoint=np.zeros((0, 3), dtype=np.float32),
        keypoint_class=np.zeros(0, dtype=np.int32),
        keypoint_start=np.zeros(n + 1, dtype=np.int64),
    )
    no_labels = Labels(
        sample=np.zeros(0, dtype=np.int32),
        class_code=np.zeros(0, dtype=np.int32),
        confidence=np.zeros(0, dtype=np.float32),
        chosen=np.zeros(0, dtype=np.bool_),
    )
    return ModelPredictions(
        model=model,
        task=task,
        inferred=inferred,
        image_size=np.where(inferred[:, None], np.array(size), 0).astype(np.int32),
        classes=classes,
        class_ids=tuple(range(len(classes))),
        keypoint_classes=(),
        objects=objects,
        labels=no_labels,
        embedding=None,
        frames={},
    )


def video_info(
    *, size: tuple[int, int] = (640, 360), rotation: int = 0, fps: int = 30, frame_count: int = 100
) -> VideoInfo:
    """What the prober would say of a video."""
    return VideoInfo(
        width=size[0],
        height=size[1],
        rotation=rotation,
        fps=Fraction(fps),
        frame_count=frame_count,
        duration_s=frame_count / fps,
        container="mp4",
        codec="h264",
    )


def make_delivery(
    folder: Path,
    frames: Frames,
    *,
    name: str = "cup/final.mp4",
    every: int = 6,
    info: VideoInfo | None = None,
    models: Sequence[ModelPredictions] = (),
    model_classes: dict[str, tuple[str, ...]] | None = None,
    uri: str = "",
) -> Delivery:
    """A delivery of one video whose every ``every``-th frame was inferred.

    Args:
        folder: Takes the results file.
        models: Models instead of the one of ``frames``, with as many frames.
        uri: By default in a bucket, by the name.
    """
    info = info or video_info()
    models = tuple(models) or (model_predictions(frames),)
    frame_index = np.arange(len(frames), dtype=np.int64) * every
    refs = tuple(ModelRef(m.model, "1") for m in models)
    spec = InferenceSpec(backend="roboflow", models=refs, fps=float(info.fps / every))
    video = VideoRef(
        uri=uri or f"s3://matches/2026/{name}",
        version="v1",
        size=1000,
        modified=datetime(2026, 5, 1, tzinfo=UTC),
        name=name,
    )
    key = job_key(video, spec)
    results_file = folder / f"{key}.json"
    results_file.write_text(json.dumps(_results(frames, frame_index.tolist(), [m.model for m in models])))
    return Delivery(
        video=video,
        info=info,
        job_key=key,
        spec=spec,
        model_classes={"football": ("player", "ball")} if model_classes is None else model_classes,
        predictions=Predictions(frame_index=frame_index, time_s=frame_index / float(info.fps), models=models),
        results_file=results_file,
        open_video=_no_video,
    )


def _results(frames: Frames, frame_index: list[int], models: list[str]) -> dict[str, object]:
    """The results JSON; the sinks under test store it and do not read it."""
    elements = [boxes if boxes is None else {"predictions": [box._asdict() for box in boxes]} for boxes in frames]
    return {"frame_offset": frame_index, **dict.fromkeys(models, elements)}


def _no_video() -> BinaryIO:
    raise AssertionError("this sink has no business with the video itself")
