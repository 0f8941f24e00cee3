"""What the readers of every kind of model share: class codes, ragged columns, checks of values."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import Bool, Float32, Int32, Int64, Labels, ModelPredictions, Objects, TaskType

# What a service may lose by writing a confidence as a decimal of a float32.
_ROUNDING = 1e-6


class Names:
    """Gives each name a code, first seen first, and remembers the service's own id of it."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.ids: list[int] = []

    def add(self, name: str, own_id: int | None) -> int:
        """Code of a name that has none yet."""
        self.ids.append(-1 if own_id is None else own_id)
        return self.codes.setdefault(name, len(self.codes))

    def code(self, name: str, own_id: int | None) -> int:
        """Code of any name."""
        code = self.codes.get(name)
        return self.add(name, own_id) if code is None else code


class Ragged:
    """A column of which each row owns any number of items, most often none.

    Args:
        item: Type of one packed item.
    """

    def __init__(self, item: np.dtype[Any]) -> None:
        self._item = item
        self._data = bytearray()
        self._rows: list[int] = []
        self._counts: list[int] = []

    def add(self, row: int, packed: bytes) -> None:
        """Give a row its items; rows come in increasing order."""
        self._data += packed
        self._rows.append(row)
        self._counts.append(len(packed) // self._item.itemsize)

    def finish(self, rows: int) -> tuple[NDArray[Any], Int64]:
        """Return all items one after the other, and int64 [rows + 1] where each row's start."""
        counts = np.zeros(rows, np.int64)
        counts[self._rows] = self._counts
        start = np.zeros(rows + 1, np.int64)
        np.cumsum(counts, out=start[1:])
        return np.frombuffer(self._data, self._item), start


def require_finite(values: Float32, names: tuple[str, ...], path: Callable[[int], str]) -> None:
    """Refuse NaN and infinities in [n, len(names)] values; ``path`` says where a row stood."""
    if np.isfinite(values).all():
        return
    row, column = np.argwhere(~np.isfinite(values))[0].tolist()
    raise ResultInvalid(f"{path(row)}.{names[column]}: expected a finite number, got {values[row, column]}")


def checked_confidences(values: NDArray[np.float32], path: Callable[[int], str]) -> Float32:
    """Return confidences as a column of their own, in [0, 1] to the last bit.

    Raises:
        ResultInvalid: One is outside by more than rounding, or NaN.
    """
    bad = np.flatnonzero(~((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)))
    if len(bad):
        raise ResultInvalid(f"{path(int(bad[0]))}.confidence: expected a number from 0 to 1, got {values[bad[0]]}")
    return values.clip(0.0, 1.0)


def assemble(
    model: str,
    task: TaskType,
    inferred: Bool,
    image_size: Int32,
    *,
    names: Names,
    keypoint_slots: Collection[tuple[str, int]] = (),
    objects: Objects | None = None,
    labels: Labels | None = None,
    embedding: Float32 | None = None,
    frames: dict[int, dict[str, Any]] | None = None,
) -> ModelPredictions:
    """Put a model's predictions together; what is not given is empty."""
    return ModelPredictions(
        model=model,
        task=task,
        inferred=inferred,
        image_size=image_size,
        classes=tuple(names.codes),
        class_ids=tuple(names.ids),
        keypoint_classes=tuple(name for name, _ in keypoint_slots),
        keypoint_ids=tuple(own_id for _, own_id in keypoint_slots),
        objects=_no_objects() if objects is None else objects,
        labels=_no_labels() if labels is None else labels,
        embedding=embedding,
        frames=frames or {},
    )


def _no_objects() -> Objects:
    nothing, start = np.zeros(0, np.int32), np.zeros(1, np.int64)
    return Objects(
        sample=nothing,
        box=np.zeros((0, 4), np.float32),
        confidence=np.zeros(0, np.float32),
        class_code=nothing,
        track=np.zeros(0, np.int64),
        polygon=np.zeros((0, 2), np.float32),
        polygon_start=start,
        rle={},
        keypoint=np.zeros((0, 3), np.float32),
        keypoint_class=nothing,
        keypoint_start=start,
    )


def _no_labels() -> Labels:
    nothing = np.zeros(0, np.int32)
    return Labels(sample=nothing, class_code=nothing, confidence=np.zeros(0, np.float32), chosen=np.zeros(0, np.bool_))
