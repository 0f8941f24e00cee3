"""What landed in a bucket: look the reported videos up, run the model over those that are new, route the results."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import flow, get_run_logger

from flows.ingest import ended
from flows.naming import run_name
from flows.pool import Pool
from flows.routing import Router
from tasks.batch import holding_batch, jobs_of, look_up, mark_done
from tasks.report import Outcome, report_run
from tasks.run import open_run
from tasks.steps import plan_videos


@flow(name="on-upload", flow_run_name=run_name, persist_result=False)
async def on_upload(pipeline: str, batch: str) -> Any:
    """Run a model over the videos of one batch of uploads and deliver the predictions to the pipeline's routes.

    The upload-event service starts it. Nothing is listed. A batch that another run has seen to is
    left alone, and the uploads of a run that dies go back to the inbox.

    Args:
        pipeline: Name of a file in config/pipelines, or a path to one.
        batch: Id of the batch in the ledger's inbox.
    """
    async with open_run(pipeline) as run, holding_batch(run, batch) as uploads:
        if uploads is None:
            get_run_logger().info("batch %s has ended, or another run is at work on it", batch)
            return None
        outcome = Outcome()
        looked = await look_up(run, uploads)
        todo, left = await asyncio.to_thread(jobs_of, run, looked)
        plan = await plan_videos(run, 0, todo)
        outcome.stopped = plan.stopped
        async with Router(run, outcome) as router:
            await Pool(run, outcome, router.put, copies=plan.copies).infer_all([*plan.reuse, *plan.todo], left)
        await mark_done(run, batch, looked, plan, outcome)
        return ended(await report_run(run, looked.found, plan, outcome, command="on-upload"))
