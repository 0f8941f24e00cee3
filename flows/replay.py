"""Take failures up again, or route stored results again without paying."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import flow, task

from flows.ingest import ended
from flows.naming import run_name
from flows.pool import Pool
from flows.routing import Router
from tasks.choose import Plan
from tasks.discover import Discovery
from tasks.domain.errors import InputInvalid, ReelrouteError
from tasks.domain.wording import count_of
from tasks.ledger.base import JobRecord
from tasks.plan import make_plan
from tasks.policies import STEP
from tasks.replay import Selection, Wanted, ask_again, plan_again, reset_deliveries, select
from tasks.report import Outcome, report_run
from tasks.run import Run, open_run
from tasks.submit import failure_of
from tasks.unforeseen import discreet, discreet_step

# Jobs that are asked about side by side: one that the service does not know takes several poll intervals.
ASKED_AT_ONCE = 1000


@flow(name="replay", flow_run_name=run_name, persist_result=False)
async def replay(
    pipeline: str,
    failed: bool = False,
    unknown: bool = False,
    route: str = "",
    video: str = "",
    pay: bool = False,
) -> Any:
    """Take up what failed; without a switch only what costs nothing.

    Args:
        pipeline: Name of a file in config/pipelines, or a path to one.
        failed: Failed and expired jobs too: the service is asked for late results first, and
            what it does not have is submitted, and paid, again.
        unknown: Submit jobs of which nobody knows whether the service took them; some may be billed twice.
            Where there is a job id, the service is asked first.
        route: Deliver stored results to this route again; nothing else.
        video: Only this video: its URI or its name.
        pay: Agree to what may be paid again.
    """
    async with open_run(pipeline) as run:
        if route and route not in run.fingerprints:
            raise InputInvalid(f"pipeline {run.pipeline.name} has no route {route!r}")
        wanted = Wanted(failed, unknown, route, video)
        chosen = await asyncio.to_thread(select, run.ledger, run.pipeline, run.spec, wanted)
        if chosen.may_pay and not pay:
            raise InputInvalid(
                f"{count_of(chosen.may_pay, 'job')} may be paid again, and nobody agreed to it", hint="set pay"
            )
        outcome = Outcome(resumed=chosen.keys)
        await asyncio.to_thread(reset_deliveries, run, chosen.deliver)
        plan, revived = await take_up(run, chosen, outcome)
        outcome.stopped = plan.stopped
        async with Router(run, outcome) as router:
            await Pool(run, outcome, router.put, copies=plan.copies).infer_all([*plan.reuse, *plan.todo], revived)
        found = Discovery(len(chosen.keys), 0, chosen.left_alone)
        return ended(await report_run(run, found, plan, outcome, command="replay"))


@task(name="take up", **STEP)
@discreet_step
async def take_up(run: Run, chosen: Selection, outcome: Outcome) -> tuple[Plan, list[JobRecord]]:
    """Ask for late results, and plan what is left; returns what to submit, and what is at the service after all."""
    revived: list[JobRecord] = []
    again, asking = list(chosen.submit), asyncio.Semaphore(ASKED_AT_ONCE)

    async def ask(key: str) -> None:
        async with asking:
            if run.stop.asked:
                return
            try:
                with discreet("asking for a job again"):
                    job = await ask_again(run, key)
            except ReelrouteError as error:
                outcome.passing[key] = failure_of("poll", error)
            else:
                revived.append(job) if job is not None else again.append(key)

    await asyncio.gather(*map(ask, chosen.ask))
    planned = [] if run.stop.asked else [await plan_again(run, key) for key in again]
    probed = [] if run.stop.asked else [await plan_again(run, key) for key in chosen.probe]
    # What could not be inferred is looked at once more; if it can be now, the next run submits it.
    await asyncio.to_thread(make_plan, run, 0, [job for job in probed if job is not None])
    plan = await asyncio.to_thread(make_plan, run, 0, [job for job in planned if job is not None])
    return plan, revived
