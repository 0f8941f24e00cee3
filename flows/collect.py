"""Fetch what is in flight: poll, store, route; never submits."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import flow
from prefect.states import Completed

from config.settings import Settings
from flows.ingest import ended
from flows.naming import run_name
from flows.pool import Pool
from flows.routing import Router
from tasks.backlog import find_backlog
from tasks.choose import Plan
from tasks.discover import Discovery
from tasks.domain.errors import ReelrouteError
from tasks.report import Outcome, report_run
from tasks.run import open_run


@flow(name="collect", flow_run_name=run_name, persist_result=False)
async def collect(pipeline: str = "", once: bool = False) -> Any:
    """Wait for the jobs that runs have left at the service, store their results and route them.

    Args:
        pipeline: Name of a file in config/pipelines, or a path to one; every pipeline with jobs
            in flight without it.
        once: Ask about each job a single time, and leave those that are not done.
    """
    if pipeline:
        return ended(await collect_pipeline(pipeline, once))
    backlog = await asyncio.to_thread(find_backlog, Settings.load())
    summaries = await asyncio.gather(*(_collect_or_say_why(name, once) for name in backlog.names))
    code = max((summary["exit_code"] for summary in summaries), default=0)
    code = code or int(bool(backlog.warnings))
    together = {"pipelines": summaries, "warnings": backlog.warnings, "exit_code": code}
    if not code:
        return together
    return Completed(name="Degraded", message="some jobs failed or were left", data=together)


async def collect_pipeline(pipeline: str, once: bool) -> dict[str, Any]:
    """Collect one pipeline's jobs; return its summary."""
    async with open_run(pipeline) as run:
        outcome = Outcome()
        async with Router(run, outcome) as router:
            await Pool(run, outcome, router.put, once=once).infer_all()
        return await report_run(run, Discovery(len(outcome.resumed), 0), Plan(), outcome, command="collect")


async def _collect_or_say_why(pipeline: str, once: bool) -> dict[str, Any]:
    """As :func:`collect_pipeline`; a pipeline that cannot be collected does not keep the others from it."""
    try:
        return await collect_pipeline(pipeline, once)
    except ReelrouteError as error:
        said = {"code": error.code, "message": error.message, "hint": error.hint}
        return {"pipeline": pipeline, "error": said, "exit_code": error.exit_code}
