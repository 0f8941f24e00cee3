"""Take over results that the store has already, instead of paying for them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from tasks.collect import fetch_results, read_results
from tasks.domain.errors import BudgetSpent, ResultInvalid, ResultPruned
from tasks.domain.job import JobState
from tasks.ledger.base import JobRecord
from tasks.run import Run
from tasks.second_chance import refused_by_budget
from tasks.stored import result_key

log = logging.getLogger(__name__)


async def adopt_stored(run: Run, job: JobRecord) -> JobRecord | None:
    """Make a planned job that we hold succeeded by its own stored results, checked as a download is; None without any.

    Raises:
        StorageUnavailable: The results store does not say.
        BudgetSpent: The plan counted on results that are no use, and there is no room for the job.
    """
    if await asyncio.to_thread(run.stored.has, job.key):
        there = replace(job, result_key=result_key(job.key))
        try:
            await asyncio.to_thread(_check, run, there)
        except (ResultInvalid, ResultPruned) as error:
            log.warning("%s: stored results are not used: %s", job.video, error.message)
        else:
            return await run.move(job, JobState.SUCCEEDED, result_key=there.result_key)
    if job.key in run.stored.uncounted and (reason := refused_by_budget(run, job)):
        raise BudgetSpent(reason)
    return None


def _check(run: Run, job: JobRecord) -> None:
    with run.work_folder() as folder:
        fetch_results(run, job, folder / "results.json")
        read_results(run, job, folder / "results.json")
