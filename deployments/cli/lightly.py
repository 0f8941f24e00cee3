"""``reelroute lightly``: work on LightlyOne datasources that no pipeline does."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.options import Json
from deployments.cli.output import Printer

if TYPE_CHECKING:
    from tasks.storage.base import Storage

app = typer.Typer(
    help="Bring other people's predictions and labels into a LightlyOne datasource.", no_args_is_help=True
)


class TaskType(StrEnum):
    """What a COCO file can become."""

    OBJECT_DETECTION = "object-detection"
    INSTANCE_SEGMENTATION = "instance-segmentation"
    KEYPOINT_DETECTION = "keypoint-detection"


@app.callback()
def root() -> None:
    """Hold the commands."""


@app.command("from-coco")
def from_coco(
    annotations: Annotated[Path, typer.Argument(metavar="ANNOTATIONS", help="A COCO file: labels or predictions.")],
    datasource: Annotated[
        str, typer.Option(metavar="URI", help="Root of the Lightly datasource: a folder, s3://…, gs://… or az://…")
    ],
    task_name: Annotated[str, typer.Option(metavar="NAME", help="Prediction task, new or one to add to.")],
    task_type: Annotated[
        TaskType, typer.Option("--type", help="Boxes, masks or keypoints.")
    ] = TaskType.OBJECT_DETECTION,
    label_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Score of annotations without one: labels. Without it they are refused."),
    ] = None,
    endpoint_url: Annotated[str, typer.Option(metavar="URL", help="Another endpoint than the cloud's own.")] = "",
    account: Annotated[str, typer.Option(metavar="NAME", help="Azure storage account.")] = "",
    as_json: Json = False,
) -> None:
    """Turn a COCO file into a prediction task, and list it beside the others."""
    from dataclasses import asdict

    from tasks.domain.video import printable
    from tasks.lightly_import import import_coco
    from tasks.storage.base import ConditionsUnknown

    printer = Printer(as_json=as_json)
    store = open_datasource(datasource, endpoint_url, account)
    if not store.check_write():
        raise ConditionsUnknown(f"{printable(store.root)} takes no conditional writes (If-Match), which tasks need")
    with printer.console.status("writing predictions"):
        done = import_coco(annotations, store, task_name=task_name, task_type=task_type.value, label_score=label_score)
    counts = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in done.counts.items())
    printer.say(f"{printable(done.location)}: {counts or 'no images'}")
    printer.result({**asdict(done), "exit_code": 0})


def open_datasource(location: str, endpoint_url: str, account: str) -> Storage:
    """Open what a person named: a URI, or a folder, which the first file makes.

    Raises:
        InputInvalid: It is no place that can be written to.
    """
    from pydantic_core import PydanticCustomError

    from config.locations import read_folder
    from tasks.domain.errors import InputInvalid
    from tasks.storage.options import StorageOptions
    from tasks.storage.registry import open_storage

    try:
        uri = read_folder(location)
    except PydanticCustomError as error:
        hint = (error.context or {}).get("allowed", "")
        raise InputInvalid(f"--datasource {error.message()}", hint=f"allowed: {hint}" if hint else "") from None
    options = StorageOptions(
        endpoint_url=endpoint_url or None, account=account or None, create=uri.startswith("file://")
    )
    return open_storage(uri, options)
