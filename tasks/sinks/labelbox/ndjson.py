"""Labelbox' NDJSON for one video's predictions: one line per object through time. No I/O."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import ModelPredictions, Predictions, TaskType
from tasks.domain.video import VideoInfo, printable
from tasks.sinks.base import Delivery
from tasks.sinks.checks import choose_models, require_frames
from tasks.sinks.detections import select
from tasks.sinks.geometry import orientation_warning
from tasks.sinks.labelbox.features import Feature, FeatureKind
from tasks.sinks.labelbox.global_key import global_key
from tasks.sinks.labelbox.keyframes import keyframes, segment_bounds
from tasks.sinks.labelbox.tracks import Track, tracks_of

# Kinds of prediction that have a box per object.
BOXED = frozenset(
    {TaskType.OBJECT_DETECTION, TaskType.INSTANCE_SEGMENTATION, TaskType.KEYPOINT_DETECTION, TaskType.GAZE}
)
# The SDK refuses an import with more annotations of one feature on one data row.
FEATURE_LIMIT = 5000
# Boxes are written to a tenth of a pixel.
PER_PIXEL = 10

_NAMESPACE = uuid.UUID("6d1f0d0e-6d70-4c53-9a0b-1c5d3f0a7b52")


class _Bbox(msgspec.Struct, frozen=True):
    top: float
    left: float
    height: float
    width: float


class _Keyframe(msgspec.Struct, frozen=True):
    frame: int
    bbox: _Bbox


class _Segment(msgspec.Struct, frozen=True):
    keyframes: list[_Keyframe]


class _DataRow(msgspec.Struct, frozen=True, rename="camel"):
    global_key: str


class Line(msgspec.Struct, frozen=True, rename="camel"):
    """One object through time; Labelbox refuses any key that it does not know."""

    uuid: str
    name: str
    data_row: _DataRow
    segments: list[_Segment]


@dataclass(frozen=True, slots=True)
class Style:
    """How tracks become annotations.

    Attributes:
        min_confidence: Detections under it are left out; Labelbox has no place for confidence
            on a video's objects.
        max_gap: An object that is looked for and missed for longer gets a new segment.
        keyframe_tolerance: Pixels by which an edge may be off at a frame whose box is left to
            Labelbox' interpolation.
        classes: Class name -> feature name in the ontology; others keep their name.
    """

    min_confidence: float | None
    max_gap: timedelta
    keyframe_tolerance: float
    classes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Annotations:
    """Lines for one data row, ordered by the frame in which the object is first seen.

    Attributes:
        lines: At most ``FEATURE_LIMIT`` of one name.
        counts, warnings: For the receipt.
    """

    lines: list[Line]
    features: tuple[Feature, ...]
    counts: dict[str, int]
    warnings: list[str]


def annotate(delivery: Delivery, style: Style) -> Annotations:
    """Make the annotations of one delivery; the same delivery always gives the same ones.

    Raises:
        DeliveryFailed: No model predicts boxes, or the predictions do not fit the video.
    """
    predictions, info = delivery.predictions, delivery.info
    require_frames(predictions, info)
    models, warnings = choose_models(predictions, BOXED, "Labelbox")
    if turned := orientation_warning(info):
        warnings.append(turned)
    found: list[tuple[ModelPredictions, Track]] = []
    left_out = Counter[str]()
    for model in models:
        selected = select(model, info, upright=True, per_pixel=PER_PIXEL, min_confidence=style.min_confidence)
        found += [(model, track) for track in tracks_of(model, selected)]
        left_out.update(selected.left_out)
    changed = sum(track.classes > 1 for _, track in found)
    if changed:
        warnings.append(f"{changed} objects change their class in the video; each has the class it was surest seen as")
    kept = _within_limit(found, predictions, style.classes, warnings)
    times = _times(predictions, info)
    row = _DataRow(global_key(delivery.video.uri))
    lines = [
        Line(
            uuid=str(uuid.uuid5(_NAMESPACE, f"{delivery.job_key}/{model.model}/{track.number}")),
            name=style.classes.get(track.class_name, track.class_name),
            data_row=row,
            segments=_segments(track, predictions, model, times, style),
        )
        for model, track in kept
    ]
    counts = {
        "tracks": len(lines),
        "segments": sum(len(line.segments) for line in lines),
        "keyframes": sum(len(segment.keyframes) for line in lines for segment in line.segments),
        "detections": sum(len(track.sample) for _, track in kept),
        **left_out,
    }
    names = dict.fromkeys(style.classes.get(name, name) for model in models for name in model.classes)
    features = tuple(Feature(name=name, kind=FeatureKind.BOX) for name in names)
    return Annotations(lines, features, counts, warnings)


def expected_features(model: str, task: TaskType, classes: Sequence[str], style: Style) -> tuple[Feature, ...]:
    """What a model may need of the ontology, as far as is known before it has predicted anything."""
    if task not in BOXED:
        return ()
    names = dict.fromkeys(style.classes.get(name, name) for name in classes)
    return tuple(Feature(name=name, kind=FeatureKind.BOX) for name in names)


def _segments(
    track: Track, predictions: Predictions, model: ModelPredictions, times: NDArray[np.float64], style: Style
) -> list[_Segment]:
    """Cut the track where it is out of sight, and thin each part to its keyframes."""
    tolerance = int(style.keyframe_tolerance * PER_PIXEL + 1e-9)
    segments = []
    for part in segment_bounds(track.sample, times, model.inferred, style.max_gap.total_seconds()):
        frame, edges = predictions.frame_index[track.sample[part]], track.edges[part]
        kept = keyframes(frame, edges, tolerance)
        rows = zip(frame[kept].tolist(), edges[kept].tolist(), strict=True)
        segments.append(_Segment([_keyframe(index, *box) for index, box in rows]))
    return segments


def _keyframe(index: int, left: int, top: int, right: int, bottom: int) -> _Keyframe:
    """Spell a box in pixels; ``index`` counts frames from 0, Labelbox from 1."""
    box = _Bbox(top / PER_PIXEL, left / PER_PIXEL, (bottom - top) / PER_PIXEL, (right - left) / PER_PIXEL)
    return _Keyframe(index + 1, box)


def _within_limit(
    found: list[tuple[ModelPredictions, Track]],
    predictions: Predictions,
    classes: Mapping[str, str],
    warnings: list[str],
) -> list[tuple[ModelPredictions, Track]]:
    """Order tracks by first sight and keep, of each feature, no more than an import may have."""
    seen = Counter[str]()
    dropped: dict[str, int] = defaultdict(int)
    kept = []
    for model, track in sorted(found, key=lambda pair: _merit(pair[1], predictions), reverse=True):
        name = classes.get(track.class_name, track.class_name)
        seen[name] += 1
        if seen[name] <= FEATURE_LIMIT:
            kept.append((model, track))
        else:
            dropped[name] += 1
    for name, count in sorted(dropped.items()):
        warnings.append(
            f"{count} of {seen[name]} objects {printable(name)!r} were left out: Labelbox takes {FEATURE_LIMIT} per "
            "video and feature; the longest and surest were kept"
        )
    return sorted(kept, key=lambda pair: int(pair[1].sample[0]))


def _merit(track: Track, predictions: Predictions) -> tuple[int, float]:
    """Rank long tracks before short ones, then sure ones before doubtful ones."""
    first, last = predictions.frame_index[track.sample[[0, -1]]].tolist()
    return last - first, track.confidence


def _times(predictions: Predictions, info: VideoInfo) -> NDArray[np.float64]:
    """Time of every sample in seconds; from frame index and frame rate where a time is missing."""
    if np.isnan(predictions.time_s).any():
        return predictions.frame_index / float(info.fps)
    return predictions.time_s
