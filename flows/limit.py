"""A limit that people see, and turn, in Prefect's UI: how many runs may submit at once.

How many jobs are open at a service is counted in the ledger, job by job, at a hundredth of the cost of a
Prefect lease. This is one lease for a whole run, and only where somebody asked for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency

from tasks.run import Run


@asynccontextmanager
async def turn(run: Run) -> AsyncIterator[str]:
    """Hold a slot of the limit that the settings name, if they do; wait for one to be free.

    Gives "", or why there is none: the run was asked to stop first, or the limit lets nobody in. A limit
    that does not exist limits nothing; Prefect warns about it. The slot of a run that was killed is free
    again five minutes later.
    """
    async with AsyncExitStack() as stack:
        name, why = run.settings.prefect_limit, ""
        if name:
            try:
                await run.stop.unless_asked(stack.enter_async_context(concurrency(name)))
            except ConcurrencySlotAcquisitionError:
                why = f"Prefect's limit {name} lets nobody in"
        yield run.stop.why or why
