"""The first steps of a run as Prefect sees them: what they do is beside them, without Prefect."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prefect import get_run_logger, task

from tasks.choose import Plan
from tasks.discover import Discovery, record_listing
from tasks.domain.video import printable
from tasks.domain.wording import count_of
from tasks.ledger.base import JobRecord
from tasks.plan import make_plan
from tasks.policies import PATIENT_STEP
from tasks.run import Run
from tasks.storage.filters import NOT_TAKEN
from tasks.unforeseen import discreet_step

# Videos that cannot be inferred get a line each in the run's log, which Prefect keeps; the report has all of them.
FAILURES_LOGGED = 100


@task(name="discover", **PATIENT_STEP)
@discreet_step
async def discover_videos(run: Run) -> Discovery:
    """List every source and plan a job for each video; listings stream into the ledger."""
    found = await asyncio.to_thread(record_listing, run)
    log = get_run_logger()
    log.info("%s, %d of them new", count_of(found.videos, "video"), found.new)
    for reason, count in sorted(found.not_taken.items()):
        log.info("%s not taken: %s", count_of(count, "object"), NOT_TAKEN[reason])
    for warning in found.warnings:
        log.warning("%s", warning)
    return found


@task(name="plan", **PATIENT_STEP)
@discreet_step
async def plan_videos(run: Run, limit: int = 0, waiting: Sequence[JobRecord] | None = None) -> Plan:
    """Probe the planned videos of today's listing (or ``waiting``) and choose those that fit limit and budget."""
    plan = await asyncio.to_thread(make_plan, run, limit, waiting)
    estimate = plan.estimate
    cost = "" if estimate.cost is None else f", about {estimate.cost:.2f}"
    log = get_run_logger()
    counts = count_of(estimate.videos, "video"), count_of(estimate.frames, "frame")
    log.info("%s, %s, %.1f minutes%s", *counts, estimate.minutes, cost)
    behind = sum(map(len, plan.copies.values()))
    if plan.reuse or behind:
        taking = count_of(len(plan.reuse), "video takes", "videos take")
        log.info("%s over results that are there, %d wait for those of a copy", taking, behind)
    for line in failure_lines(plan):
        log.warning("%s", line)
    for reason, count in plan.left_out.items():
        log.warning("%s left for another run: %s", count_of(count, "video"), reason)
    for warning in plan.warnings:
        log.warning("%s", warning)
    return plan


def failure_lines(plan: Plan) -> list[str]:
    """A line on each video that cannot be inferred, the first of many: what, its code, and what to do."""
    errors = [found.error for _, found in plan.failures if found.error is not None]
    lines = [
        printable(f"{error.message} ({error.code})" + (f": {error.hint}" if error.hint else ""))
        for error in errors[:FAILURES_LOGGED]
    ]
    more = len(errors) - FAILURES_LOGGED
    return (
        [*lines, f"{count_of(more, 'more video')} cannot be inferred: `reelroute status` names them"]
        if more > 0
        else lines
    )
