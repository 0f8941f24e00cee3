"""Bring a COCO file into a LightlyOne datasource as a prediction task, beside those that are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tasks.domain.errors import InputInvalid
from tasks.domain.video import printable
from tasks.sinks.lightly.coco import CocoTask, Conversion, conversion_of, read_coco, stem_of
from tasks.sinks.lightly.names import PREDICTIONS, file_key, task_slug
from tasks.sinks.lightly.schema import TaskSchema, ensure_schema, list_task
from tasks.sinks.lightly.singletons import FrameFile
from tasks.storage.base import Storage


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import.

    Attributes:
        task: Name of the task.
        location: URI of its folder.
        counts: Files and predictions written, and what was left out.
        categories: Class name -> category id.
    """

    task: str
    location: str
    counts: dict[str, int]
    categories: dict[str, int]


def import_coco(
    file: Path, datasource: Storage, *, task_name: str, task_type: CocoTask, label_score: float | None
) -> Imported:
    """Write a prediction file for each image of a COCO file, then list the task.

    Files of images that the COCO file does not have are left as they are, and so are other tasks:
    imports add up.

    Args:
        label_score: Score of annotations that have none; None refuses those.

    Raises:
        InputInvalid: The file cannot be read, is no COCO dataset, or contradicts itself; nothing was written.
        DeliveryFailed: The datasource has a task of that name that the file does not fit.
    """
    task = task_slug(task_name)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputInvalid(f"cannot read {printable(str(file))}: {error.strerror}") from None
    try:
        conversion = conversion_of(read_coco(data), task_type, label_score)
    except InputInvalid as error:
        raise InputInvalid(f"{printable(str(file))}: {error.message}", hint=error.hint) from None
    schema = ensure_schema(datasource, task, task_type, conversion.categories())
    if datasource.write_many(_encoded(task, conversion, schema), content_type="application/json"):
        list_task(datasource, task)
    return Imported(
        task,
        f"{datasource.root}{PREDICTIONS}{task}/",
        dict(conversion.counts),
        {name: schema.ids[name] for name in (category.name for category in conversion.dataset.categories)},
    )


def _encoded(task: str, conversion: Conversion, schema: TaskSchema) -> Iterator[tuple[str, bytes]]:
    encoder = msgspec.json.Encoder()
    for file_name, predictions in conversion.files(schema):
        yield file_key(task, stem_of(file_name)), encoder.encode(FrameFile(file_name, predictions))
