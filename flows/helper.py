"""One shard of somebody else's run, in a process that shares nothing with it but the ledger."""

from __future__ import annotations

import asyncio

from flows.sharing import work_as_helper
from tasks.run import open_run
from tasks.shards import missing


async def help_with(pipeline: str, shard: str) -> int:
    """Open the run anew, work through the shard and then through others of its batch; return how many.

    Raises:
        InputInvalid: The ledger here does not have the shard.
    """
    async with open_run(pipeline) as run:
        found = await asyncio.to_thread(run.ledger.shard, shard)
        if found is None:
            raise missing(shard)
        return await work_as_helper(run, found)
