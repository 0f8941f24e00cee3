"""Predictions as tables, for notebooks and Parquet.

One row per thing that a model said, in the order of models and frames:

    kind                  object | label (class of the whole frame) | embedding | label_map | nothing
    model                 project slug, ``clip`` or ``gaze``
    frame, time_s         frame index from 0 and its time in seconds
    track                 the object's id through the video, unique per model; null if not tracked
    class, class_id       name, and the service's id of it (null where it gave none)
    confidence            0 to 1
    x, y, width, height   centre and size of the box in pixels of the inferred image
    image_width, _height  size of the inferred image, null where not given

and, only where some row has them:

    polygon               outline as x, y, x, y, ... in pixels
    mask                  COCO run lengths as JSON, column by column: {"size": [h, w], "counts": ...}
    keypoints             list of {name, x, y, confidence}; gaze: the face's landmarks
    yaw, pitch            of a gaze, in radians
    chosen                whether the label is the frame's top class or one of its classes
    embedding             list of numbers

Every frame that a model looked at has a row: ``nothing`` where it saw nothing. Frames that were not
inferred have none, so "nothing there" and "not looked" stay apart. ``label_map`` rows (semantic
segmentation) only say that there is one; the map itself is in the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tasks.domain.predictions import ModelPredictions, Objects, Predictions

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ALWAYS = {
    "kind": "string",
    "model": "string",
    "frame": "int64",
    "time_s": "float64",
    "track": "int64",
    "class": "string",
    "class_id": "int64",
    "confidence": "float32",
    "x": "float32",
    "y": "float32",
    "width": "float32",
    "height": "float32",
    "image_width": "int32",
    "image_height": "int32",
}
_SOMETIMES = ("polygon", "mask", "keypoints", "yaw", "pitch", "chosen", "embedding")


def detections_table(predictions: Predictions) -> pd.DataFrame:
    """Return all detections (objects, faces) of all models as a data frame; see the module for columns."""
    frame: pd.DataFrame = _table(predictions, kinds=("object",)).drop_columns(["kind"]).to_pandas()
    return frame


def write_parquet(predictions: Predictions, path: Path, *, extra: Mapping[str, str] | None = None) -> None:
    """Write everything that was predicted as one Parquet file; the same predictions give the same bytes.

    Args:
        path: Is overwritten.
        extra: Name -> text of columns to put in front, the same in every row (such as the video).

    Raises:
        OSError: The file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = _table(predictions)
    for name, text in reversed([*(extra or {}).items()]):
        table = table.add_column(0, name, pa.repeat(pa.scalar(text), len(table)))
    pq.write_table(table, path, compression="zstd")


def _table(predictions: Predictions, kinds: tuple[str, ...] = ("object", "label", "embedding", "rest")) -> pa.Table:
    import pyarrow as pa

    parts = [pa.schema(_ALWAYS.items()).empty_table()]
    for model in predictions.models:
        rows = pa.concat_tables([_PARTS[kind](predictions, model) for kind in kinds], promote_options="default")
        parts.append(rows.take(np.argsort(rows["frame"].to_numpy(), kind="stable")))
    table = pa.concat_tables(parts, promote_options="default")
    return table.select([*_ALWAYS, *(name for name in _SOMETIMES if name in table.column_names)])


def _rows(
    predictions: Predictions, model: ModelPredictions, kind: str, sample: NDArray[Any], **columns: Any
) -> pa.Table:
    """Put what every kind of row has before the kind's own columns."""
    import pyarrow as pa

    size = model.image_size[sample]
    return pa.table(
        {
            "kind": pa.repeat(kind, len(sample)),
            "model": pa.repeat(model.model, len(sample)),
            "frame": predictions.frame_index[sample],
            "time_s": predictions.time_s[sample],
            "image_width": pa.array(size[:, 0], mask=size[:, 0] == 0),
            "image_height": pa.array(size[:, 1], mask=size[:, 1] == 0),
            **columns,
        }
    )


def _classes(model: ModelPredictions, code: NDArray[np.int32]) -> dict[str, Any]:
    import pyarrow as pa

    own_id = np.array(model.class_ids, np.int64)[code]
    return {
        "class": pa.array(model.classes, pa.string()).take(pa.array(code)),
        "class_id": pa.array(own_id, mask=own_id == -1),
    }


def _objects(predictions: Predictions, model: ModelPredictions) -> pa.Table:
    import pyarrow as pa

    objects = model.objects
    columns: dict[str, Any] = {
        "track": pa.array(objects.track, mask=objects.track < 0),
        **_classes(model, objects.class_code),
        "confidence": objects.confidence,
        **{name: objects.box[:, at] for at, name in enumerate(("x", "y", "width", "height"))},
    }
    if len(objects.polygon):
        columns["polygon"] = _lists(2 * objects.polygon_start, pa.array(objects.polygon.ravel()))
    if objects.rle:
        columns["mask"] = pa.array([_mask(objects, row) for row in range(len(objects))], pa.string())
    if len(objects.keypoint):
        names = pa.array(model.keypoint_classes, pa.string()).take(pa.array(objects.keypoint_class))
        numbers = [pa.array(objects.keypoint[:, at]) for at in range(3)]
        points = pa.StructArray.from_arrays([names, *numbers], ["name", "x", "y", "confidence"])
        columns["keypoints"] = _lists(objects.keypoint_start, points)
    if objects.gaze is not None:
        columns |= {"yaw": objects.gaze[:, 0], "pitch": objects.gaze[:, 1]}
    return _rows(predictions, model, "object", objects.sample, **columns)


def _lists(start: NDArray[np.int64], values: pa.Array) -> pa.Array:
    """A column of lists; null, not empty, where a row has no items."""
    import pyarrow as pa

    nothing = pa.array(np.diff(start) == 0)
    return pa.LargeListArray.from_arrays(pa.array(start), values, mask=nothing)


def _mask(objects: Objects, row: int) -> str | None:
    if row not in objects.rle:
        return None
    height, width, counts = objects.rle[row]
    return msgspec.json.encode({"size": [height, width], "counts": counts}).decode()


def _labels(predictions: Predictions, model: ModelPredictions) -> pa.Table:
    labels = model.labels
    columns = {**_classes(model, labels.class_code), "confidence": labels.confidence}
    if len(labels):
        columns["chosen"] = labels.chosen
    return _rows(predictions, model, "label", labels.sample, **columns)


def _embeddings(predictions: Predictions, model: ModelPredictions) -> pa.Table:
    import pyarrow as pa

    if model.embedding is None:
        return _rows(predictions, model, "embedding", np.zeros(0, np.int32))
    sample = np.flatnonzero(model.inferred)
    vectors = model.embedding[sample]
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return _rows(predictions, model, "embedding", sample, embedding=lists)


def _rest(predictions: Predictions, model: ModelPredictions) -> pa.Table:
    """A row for each inferred frame that has no other."""
    import pyarrow as pa

    quiet = model.inferred.copy()
    quiet[model.objects.sample] = False
    quiet[model.labels.sample] = False
    if model.embedding is not None:
        quiet[:] = False
    sample = np.flatnonzero(quiet)
    kinds = ["label_map" if at in model.frames else "nothing" for at in sample.tolist()]
    rows = _rows(predictions, model, "nothing", sample)
    return rows.set_column(0, "kind", pa.array(kinds, pa.string()))


_PARTS = {"object": _objects, "label": _labels, "embedding": _embeddings, "rest": _rest}
