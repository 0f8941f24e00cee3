"""Detections of one model, put together to objects through time. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import Bool, Int64, ModelPredictions
from tasks.sinks.detections import Selected


@dataclass(frozen=True, slots=True)
class Track:
    """One object through one video.

    Attributes:
        number: The track's id; negative for a detection that belongs to no track.
        class_name: The class it was most surely seen as.
        row: int64 [n], which rows of the model's ``Objects`` these are.
        sample: int64 [n], increasing.
        edges: int64 [n, 4] left, top, right, bottom in steps of the selection's grid.
        confidence: Mean of its detections.
        classes: How many classes its detections were given.
    """

    number: int
    class_name: str
    row: Int64
    sample: Int64
    edges: Int64
    confidence: float
    classes: int


def tracks_of(model: ModelPredictions, found: Selected) -> Iterator[Track]:
    """Yield the objects that the selected detections make, in the order of their ids.

    Of two detections that claim to be one object in one frame, the surer one counts. A detection
    without a track is an object of its own.
    """
    objects = model.objects
    number = np.where(objects.track[found.row] >= 0, objects.track[found.row], -1 - found.row)
    sample = objects.sample[found.row].astype(np.int64)
    order = np.lexsort((-found.confidence, sample, number))
    starts, first_of_frame = _changes(number[order]), _changes(number[order], sample[order])
    order, starts = order[first_of_frame], starts[first_of_frame]
    for own in np.split(order, np.flatnonzero(starts)[1:]) if len(order) else ():
        code, classes = _surest(objects.class_code[found.row[own]].astype(np.int64), found.confidence[own])
        yield Track(
            number=int(number[own[0]]),
            class_name=model.classes[code],
            row=found.row[own],
            sample=sample[own],
            edges=found.edges[own],
            confidence=float(found.confidence[own].mean()),
            classes=classes,
        )


def _changes(*columns: Int64) -> Bool:
    """Tell of each row whether any column differs from the row before; True for the first."""
    differs = np.ones(len(columns[0]), dtype=np.bool_)
    differs[1:] = np.any([np.diff(column) != 0 for column in columns], axis=0)
    return differs


def _surest(codes: Int64, confidence: NDArray[np.float64]) -> tuple[int, int]:
    """Return the class with the most confidence in sum, and how many classes there are."""
    distinct, which = np.unique(codes, return_inverse=True)
    return int(distinct[np.bincount(which, weights=confidence).argmax()]), len(distinct)
