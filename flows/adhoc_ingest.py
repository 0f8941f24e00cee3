"""Run a pipeline from a form: one by its name, or one described in a few fields."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from prefect import flow
from pydantic import Field

from config.available import SCHEMES
from config.form import Form
from config.settings import Settings
from flows.ingest import ended, ingest_pipeline
from flows.naming import run_name
from tasks.domain.errors import InputInvalid
from tasks.dry_run import dry_run as preview
from tasks.kept import keep_form, named_pipeline
from tasks.unforeseen import hint_logged

# Prefect keeps parameters in the clear, and its server refuses what does not match before it does: no address
# with a signature or a password gets in.
Place = Annotated[str, Field(pattern=rf"^(({'|'.join(SCHEMES)})://[^?@/]*(/[^?]*)?|[^?:]*)$")]
Name = Annotated[str, Field(pattern=r"^[^?@]*$")]


@flow(name="adhoc-ingest", flow_run_name=run_name, persist_result=False)
async def adhoc_ingest(
    pipeline: Name = "",
    source: Place = "",
    include: str = "",
    model: Name = "",
    backend: Literal["roboflow", "local"] = "roboflow",
    fps: Annotated[float, Field(ge=1, le=120)] = 5.0,
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.4,
    results: Place = "",
    annotated: Place = "",
    lightly: Place = "",
    lightly_task: str = "reelroute",
    labelbox: Place = "",
    limit: Annotated[int, Field(ge=0)] = 0,
    wait: bool = True,
    dry_run: bool = False,
) -> Any:
    """Run a model over videos now. Name a pipeline, or leave it empty and describe one: source, model and where to.

    Args:
        pipeline: Name of a pipeline file in config/pipelines, such as yard. Leave it empty to fill in the fields below.
        source: Where the videos are: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or a folder of the
            worker's. Never a signed URL.
        include: Only keys that match this pattern, such as **/*.mp4; every known video suffix if empty.
        model: project-slug/version; oidv4/1 is the bundled model of the local backend.
        backend: Who runs the model: roboflow is the hosted service, local the worker itself.
        fps: Frames to look at per second of video.
        confidence: Threshold sent to the service.
        results: Write the results as JSON and Parquet into this bucket prefix or folder.
        annotated: Write copies of the videos with boxes drawn in there.
        lightly: Root of a LightlyOne datasource to write predictions into.
        lightly_task: Name of the LightlyOne prediction task.
        labelbox: Write Labelbox NDJSON files there.
        limit: Submit at most so many videos; 0 for no limit.
        wait: Wait for results and deliver them. Without it they are left to a later run, or to one of collect.
        dry_run: Only list, estimate frames, minutes and cost, and show them as an artifact; submit nothing.
    """
    form = Form(
        source=source,
        include=include,
        model=model,
        backend=backend,
        fps=fps,
        confidence=confidence,
        results=results,
        annotated=annotated,
        lightly=lightly,
        lightly_task=lightly_task,
        labelbox=labelbox,
    )
    settings = Settings.load()
    with hint_logged():
        name = pipeline or await asyncio.to_thread(keep_form, form, settings)
        if pipeline and (source or model or results or annotated or lightly or labelbox):
            raise InputInvalid(
                f"the form names pipeline {pipeline} and describes another one",
                hint="leave `pipeline` empty, or the fields that describe one",
            )
        if dry_run:
            return await preview(await asyncio.to_thread(named_pipeline, name, settings), limit)
    return ended(await ingest_pipeline(name, limit=limit, wait=wait))
