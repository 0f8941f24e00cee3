"""Grow the columns of models that speak of whole frames: classes, embeddings, label maps."""

from __future__ import annotations

from array import array
from collections.abc import Collection
from typing import Any

import msgspec
import numpy as np

from tasks.domain.errors import ResultInvalid
from tasks.domain.predictions import Bool, Float32, Int32, Labels, ModelPredictions, TaskType
from tasks.domain.video import printable
from tasks.predictions.columns import Names, assemble, checked_confidences
from tasks.predictions.shapes import EmbeddingFrame, LabelFrame, LabelMapFrame, NestedEmbedding

# The service's own threshold, for multi-label frames that do not say which classes were chosen.
_CHOSEN_FROM = 0.5


class LabelReader:
    """Reads a classifier, single-label (list and top class) or multi-label (mapping).

    Args:
        model: Its name in messages and in the predictions.
        samples: Length of its list.
        task: Its kind where that is known; the service calls both kinds "classification".
    """

    shape = LabelFrame

    def __init__(self, model: str, samples: int, task: TaskType | None) -> None:  # noqa: ARG002 (readers are made alike)
        self._model = model
        self._task = task or TaskType.CLASSIFICATION
        self._names = Names()
        self._samples, self._codes, self._confidences, self._chosen = array("i"), array("i"), array("f"), bytearray()

    def add(self, sample: int, frame: LabelFrame) -> None:
        """Take the next frame.

        Raises:
            ResultInvalid: What it says was chosen is not among its predictions.
        """
        found = frame.predictions
        if isinstance(found, dict):
            self._task = TaskType.MULTILABEL_CLASSIFICATION
            chosen = frame.predicted_classes
            if chosen is None:
                chosen = [name for name, score in found.items() if score.confidence >= _CHOSEN_FROM]
            rows = [(name, score.class_id, score.confidence) for name, score in found.items()]
        else:
            chosen = (
                [frame.top] if frame.top else [max(found, key=lambda label: label.confidence).name] if found else []
            )
            rows = [(label.name, label.class_id, label.confidence) for label in found]
        self._require_known(sample, chosen, {name for name, _, _ in rows})
        for name, own_id, confidence in rows:
            self._samples.append(sample)
            self._codes.append(self._names.code(name, own_id))
            self._confidences.append(confidence)
            self._chosen.append(name in chosen)

    def _require_known(self, sample: int, chosen: Collection[str], known: Collection[str]) -> None:
        for name in chosen:
            if name not in known:
                raise ResultInvalid(
                    f"{self._model}[{sample}]: {printable(name)!r} is chosen but is not among the predictions"
                )

    def finish(self, inferred: Bool, image_size: Int32) -> ModelPredictions:
        """Give out the columns.

        Raises:
            ResultInvalid: A confidence is not in [0, 1].
        """
        classes = list(self._names.codes)

        def path(row: int) -> str:
            return f"{self._model}[{self._samples[row]}] {printable(classes[self._codes[row]])!r}"

        labels = Labels(
            sample=np.frombuffer(self._samples, np.int32),
            class_code=np.frombuffer(self._codes, np.int32),
            confidence=checked_confidences(np.frombuffer(self._confidences, np.float32), path),
            chosen=np.frombuffer(self._chosen, np.bool_),
        )
        return assemble(self._model, self._task, inferred, image_size, names=self._names, labels=labels)


class EmbeddingReader:
    """Reads CLIP: a vector per frame, bare or as the image API nests it.

    The arguments are those of :class:`LabelReader`.
    """

    shape = EmbeddingFrame

    def __init__(self, model: str, samples: int, task: TaskType | None) -> None:
        self._model = model
        self._task = task or TaskType.EMBEDDING
        self._samples = samples
        self._rows: Float32 | None = None

    def add(self, sample: int, frame: EmbeddingFrame) -> None:
        """Take the next frame.

        Raises:
            ResultInvalid: It is not one vector of finite numbers as long as those before it.
        """
        vector: list[Any] = list(frame.embeddings if isinstance(frame, NestedEmbedding) else frame)
        if len(vector) == 1 and isinstance(vector[0], list):
            vector = vector[0]
        path = f"{self._model}[{sample}]"
        if not vector or any(isinstance(value, list) for value in vector):
            raise ResultInvalid(f"{path}: expected one embedding of some length, got {len(vector)} values")
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
            row = np.array(vector, np.float32)
        if self._rows is None:
            self._rows = np.full((self._samples, len(row)), np.nan, np.float32)
        if len(row) != self._rows.shape[1]:
            raise ResultInvalid(f"{path}: has {len(row)} values, the frames before it {self._rows.shape[1]}")
        if not np.isfinite(row).all():
            raise ResultInvalid(f"{path}: expected finite numbers, got {row[~np.isfinite(row)][0]}")
        self._rows[sample] = row

    def finish(self, inferred: Bool, image_size: Int32) -> ModelPredictions:
        """Give out the matrix."""
        return assemble(self._model, self._task, inferred, image_size, names=Names(), embedding=self._rows)


class LabelMapReader:
    """Reads semantic segmentation: keeps each frame's maps as they came.

    The arguments are those of :class:`LabelReader`.
    """

    shape = LabelMapFrame

    def __init__(self, model: str, samples: int, task: TaskType | None) -> None:  # noqa: ARG002 (readers are made alike)
        self._model = model
        self._task = task or TaskType.SEMANTIC_SEGMENTATION
        self._names = Names()
        self._frames: dict[int, dict[str, Any]] = {}

    def add(self, sample: int, frame: LabelMapFrame) -> None:
        """Take the next frame."""
        for value, name in frame.predictions.class_map.items():
            self._names.code(name, int(value) if value.isdecimal() else None)
        self._frames[sample] = msgspec.structs.asdict(frame.predictions)

    def finish(self, inferred: Bool, image_size: Int32) -> ModelPredictions:
        """Give out the frames."""
        return assemble(self._model, self._task, inferred, image_size, names=self._names, frames=self._frames)
