"""The nightly job: list the videos, run the model over those that are new, route what comes back."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.cluster import check_extra, open_cluster
from flows.helper import place_independent
from flows.naming import run_name
from flows.pool import Pool
from flows.routing import Router
from flows.sharing import Others, Sharing
from flows.workers import Workers, count_places
from tasks.report import Outcome, headline, report_run
from tasks.run import Run, open_run
from tasks.steps import discover_videos, plan_videos


@flow(name="ingest", flow_run_name=run_name, persist_result=False)
async def ingest(pipeline: str, limit: int = 0, wait: bool = True) -> Any:
    """Run a model over every new video of a pipeline and deliver the predictions to its routes.

    Safe to run again at any time: what is done is skipped, what was left is resumed.

    Args:
        pipeline: Name of a file in config/pipelines, or a path to one.
        limit: Submit at most so many videos; 0 for as many as the budget allows.
        wait: Wait for results and route them. Without it, jobs are submitted and left to a later run.
    """
    return ended(await ingest_pipeline(pipeline, limit=limit, wait=wait))


async def ingest_pipeline(pipeline: str, *, limit: int = 0, wait: bool = True) -> dict[str, Any]:
    """Discover, plan, infer, route, report; return the summary."""
    async with open_run(pipeline, wait=wait) as run:
        check_extra(run.settings)
        outcome = Outcome()
        found = await discover_videos(run)
        plan = await plan_videos(run, limit)
        outcome.stopped = plan.stopped
        todo = [*plan.reuse, *plan.todo]
        if not wait:
            await Pool(run, outcome, lambda _: None, wait=False, copies=plan.copies).infer_all(todo)
        elif len(plan.todo) > run.settings.shard_above and (helping := await _others(run, pipeline)):
            async with helping as others:
                await Sharing(run, plan, outcome, run.settings.shard_size, others).infer_all()
        else:
            async with Router(run, outcome) as router:
                await Pool(run, outcome, router.put, copies=plan.copies).infer_all(todo)
        return await report_run(run, found, plan, outcome)


async def _others(run: Run, pipeline: str) -> AbstractAsyncContextManager[Others] | None:
    """Who can take a part of a large list: the settings' cluster, or else workers of the pool, if there are any."""
    known = place_independent(pipeline)
    if run.settings.task_runner != "pool":
        return open_cluster(run, known)
    places = await count_places()
    return nullcontext(Workers(known, places)) if places else None


def ended(summary: dict[str, Any]) -> State[Any] | dict[str, Any]:
    """Call a run with failures degraded, so that automations and people see it at a glance."""
    if not summary["exit_code"]:
        return summary
    return Completed(name="Degraded", message=headline(summary), data=summary)
