"""Labelbox' NDJSON for one video's predictions: a line per object through time, and per answer. No I/O."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import Bool, Predictions, TaskType
from tasks.domain.video import VideoInfo, printable
from tasks.domain.wording import count_of
from tasks.sinks.base import Delivery
from tasks.sinks.checks import require_frames
from tasks.sinks.detections import Selected, select
from tasks.sinks.geometry import orientation_warning, require_placeable
from tasks.sinks.labelbox.answers import AnswerDraft, Answers, Timeline
from tasks.sinks.labelbox.details import Details, Other, detail_features
from tasks.sinks.labelbox.features import Feature
from tasks.sinks.labelbox.global_key import global_key
from tasks.sinks.labelbox.limits import playing_warnings, require_importable
from tasks.sinks.labelbox.lines import DataRow, Line, Lines
from tasks.sinks.labelbox.mapping import ModelMapping, SeenModel, merged
from tasks.sinks.labelbox.objects import ObjectDraft, drafts_of, sightings
from tasks.sinks.labelbox.places import PER_PIXEL, Places
from tasks.sinks.labelbox.statements import Statements, statements_of
from tasks.sinks.labelbox.style import BOXED, Style
from tasks.sinks.labelbox.tracks import tracks_of
from tasks.sinks.sizes import misfit_warnings, without_misfits

# The SDK refuses an import with more annotations of one feature on one data row.
FEATURE_LIMIT = 5000

_NAMESPACE = uuid.UUID("6d1f0d0e-6d70-4c53-9a0b-1c5d3f0a7b52")


@dataclass(frozen=True, slots=True)
class Annotations:
    """What is said about one data row, ordered by the frame in which each thing is first seen.

    Attributes:
        lines: At most ``FEATURE_LIMIT`` of one name. Spelled out one at a time at each pass; each
            has a ``uuid``, the same at every delivery of the job, and a ``name``.
        features: Everything that the delivery's models may need of the ontology under this style,
            seen in this video or not; each name once.
        counts, warnings: For the receipt.
    """

    lines: Sequence[Line]
    features: tuple[Feature, ...]
    counts: dict[str, int]
    warnings: list[str]


def annotate(delivery: Delivery, style: Style) -> Annotations:
    """Make the annotations of one delivery; the same delivery always gives the same ones.

    Raises:
        DeliveryFailed: Labelbox would not take the video, the predictions do not fit it, or they
            cannot become what the style asks for.
    """
    require_importable(delivery.video, delivery.info)
    require_frames(delivery.predictions, delivery.info)
    models, left_out = without_misfits(delivery.predictions.models, delivery.info)
    delivery = replace(delivery, predictions=replace(delivery.predictions, models=models))
    mappings, warnings = _mappings(delivery, style)
    for mapping in mappings:
        require_placeable(mapping.model, delivery.info)
    features = _features(mappings)
    warnings += misfit_warnings(left_out) + playing_warnings(delivery.info)
    if turned := orientation_warning(delivery.info):
        warnings.append(turned)
    making = _Making(delivery, style, mappings, left_out)
    drafts = _within_limit([draft for mapping in mappings for draft in making.drafts(mapping)], warnings)
    return Annotations(Lines(drafts), features, _counts(drafts, making.left_out), warnings + making.warnings)


def features_of(delivery: Delivery, style: Style) -> tuple[Feature, ...]:
    """What :func:`annotate` would need of an ontology, without making the annotations.

    Raises:
        DeliveryFailed: The predictions cannot become what the style asks for.
    """
    return _features(_mappings(delivery, style)[0])


def expected_features(models: Iterable[tuple[str, TaskType, Sequence[str]]], style: Style) -> tuple[Feature, ...]:
    """What models may need of an ontology, as far as that is known before they have predicted anything.

    Args:
        models: Of each model of a job the key in its results, what it predicts, and its classes.

    Raises:
        DeliveryFailed: The predictions cannot become what the style asks for.
    """
    return _features([ModelMapping(key, task, classes, style) for key, task, classes in models])


def _mappings(delivery: Delivery, style: Style) -> tuple[list[SeenModel], list[str]]:
    """What becomes of each model, and a warning for each that can become nothing."""
    found = [
        SeenModel(model, delivery.model_classes.get(model.model, ()), style) for model in delivery.predictions.models
    ]
    usable = [one for one in found if one.task is not TaskType.EMBEDDING or one.style.prompts is not None]
    left_out = [one.key for one in found if one not in usable and not one.style.silent]
    warnings = [
        f"model {printable(name)!r} was left out: it predicts embeddings, and the route names no prompts"
        for name in left_out
    ]
    # One that is alone is refused where its embeddings are to be compared, with a hint.
    return (usable, warnings) if usable else (found, [])


def _features(mappings: Sequence[ModelMapping]) -> tuple[Feature, ...]:
    names = Counter(one.question_name for one in mappings if one.question is not None)
    for name, models in names.items():
        if models > 1:
            raise DeliveryFailed(
                f"{models} models would answer one question, {printable(name)!r}",
                hint="give each its own with `models: {...: {name: ...}}` in the labelbox route",
            )
    needed = []
    for one in mappings:
        others = {other.key: other for other in mappings if other is not one}
        needed += one.features(detail_features(one, others))
    return merged(needed)


class _Making:
    """The annotations of one delivery, in the making.

    Attributes:
        left_out: Why detections are in no annotation -> how many.
        warnings: For the receipt; complete when all drafts are made.
    """

    def __init__(
        self, delivery: Delivery, style: Style, mappings: Sequence[SeenModel], left_out: Sequence[Bool]
    ) -> None:
        self._delivery, self._style, self._mappings = delivery, style, mappings
        self._row = DataRow(global_key(delivery.video.uri))
        self._timeline = _timeline(delivery, style, np.logical_or.reduce(left_out))
        self.left_out = Counter[str]()
        self.warnings: list[str] = []
        self._found = {one.key: self._select(one) for one in mappings if one.task in BOXED}

    def drafts(self, mapping: SeenModel) -> Iterator[ObjectDraft | AnswerDraft]:
        """Make the drafts of one model, in no order."""
        if mapping.style.silent:
            return
        found, identity = (
            self._found.get(mapping.key),
            (_NAMESPACE, f"{self._delivery.job_key}/{mapping.key}"),
        )
        if found is not None:
            self.left_out.update(found.left_out)
            yield from self._objects(mapping, found, identity)
        if mapping.question is not None:
            said = statements_of(mapping, found)
            if said.unread:
                name = printable(mapping.key)
                self.warnings.append(
                    f"model {name!r}: {count_of(said.unread, 'label map')} cannot be read: nobody looked, then"
                )
            yield from Answers(mapping, said, self._timeline, self._row, identity).drafts()

    def _objects(self, mapping: SeenModel, found: Selected, identity: tuple[uuid.UUID, str]) -> Iterator[ObjectDraft]:
        model = mapping.model
        tracks = list(tracks_of(model, found))
        changed = sum(track.classes > 1 for track in tracks)
        if changed and "class" not in {detail.of for detail in mapping.style.details}:
            self.warnings.append(
                f"{count_of(changed, 'object changes its', 'objects change their')} class in the video; each has "
                "the class it was surest seen as"
            )
        places = Places(model, self._delivery.info, mapping.style.vertices)
        if places.outside:
            self.left_out["keypoints_outside"] += places.outside
        details = Details(mapping, found, self._others(mapping)) if mapping.style.details else None
        yield from drafts_of(
            list(sightings(mapping, tracks, places)),
            model,
            self._timeline,
            self._style.keyframe_tolerance,
            details,
            self._row,
            identity,
        )

    def _others(self, mapping: SeenModel) -> dict[str, Other]:
        """Other models of the job, with what they found or said."""
        asked = {detail.of for detail in mapping.style.details}
        return {
            other.key: Other(other, self._found.get(other.key), self._said(other))
            for other in self._mappings
            if other is not mapping and other.key in asked
        }

    def _said(self, other: SeenModel) -> Statements | None:
        return None if other.task in BOXED else statements_of(other, None, every=True)

    def _select(self, mapping: SeenModel) -> Selected:
        return select(
            mapping.model,
            self._delivery.info,
            upright=True,
            per_pixel=PER_PIXEL,
            min_confidence=mapping.min_confidence,
        )


def _timeline(delivery: Delivery, style: Style, left_out: Bool) -> Timeline:
    fps = float(delivery.info.fps)
    step = max(1, round(fps / delivery.spec.fps))
    return Timeline(
        frame_index=delivery.predictions.frame_index,
        time_s=_times(delivery.predictions, delivery.info),
        step=step,
        step_s=step / fps,
        frame_count=delivery.info.frame_count,
        max_gap_s=style.max_gap.total_seconds(),
        left_out=left_out,
    )


def _times(predictions: Predictions, info: VideoInfo) -> NDArray[np.float64]:
    """Time of every sample in seconds; from frame index and frame rate where a time is missing."""
    if np.isnan(predictions.time_s).any():
        return predictions.frame_index / float(info.fps)
    return predictions.time_s


def _within_limit(drafts: Sequence[ObjectDraft | AnswerDraft], warnings: list[str]) -> list[ObjectDraft | AnswerDraft]:
    """Order drafts by first sight and keep, of each feature, no more than an import may have."""
    seen = Counter[str]()
    kept = []
    for draft in sorted(drafts, key=lambda draft: draft.merit, reverse=True):
        seen[draft.name] += 1
        if seen[draft.name] <= FEATURE_LIMIT:
            kept.append(draft)
    for name, count in sorted(seen.items()):
        if count > FEATURE_LIMIT:
            warnings.append(
                f"{count - FEATURE_LIMIT} of {count} annotations {printable(name)!r} were left out: Labelbox takes "
                f"{FEATURE_LIMIT} per video and feature; the longest and surest were kept"
            )
    return sorted(kept, key=lambda draft: draft.first)


def _counts(drafts: Sequence[ObjectDraft | AnswerDraft], left_out: Counter[str]) -> dict[str, int]:
    objects = [draft for draft in drafts if isinstance(draft, ObjectDraft)]
    return {
        "annotations": len(drafts),
        "objects": len(objects),
        "segments": sum(len(draft.parts) for draft in objects),
        "keyframes": sum(draft.keyframes for draft in objects),
        "detections": sum(draft.detections for draft in objects),
        **left_out,
    }
