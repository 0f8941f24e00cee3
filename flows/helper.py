"""One shard of somebody else's run, in a process that shares nothing with it but the ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path

from config.settings import Settings
from flows.sharing import work_as_helper
from tasks.ledger.open import open_ledger
from tasks.ledger.shard_base import ShardRecord
from tasks.run import open_run
from tasks.shards import batch_of, missing


async def help_with(pipeline: str, shard: str) -> int:
    """Open the run anew, work through the shard and then through others of its batch; return how many.

    Raises:
        InputInvalid: The ledger here does not have the shard.
    """
    settings = Settings.load()
    found = await asyncio.to_thread(_find, settings, shard)
    if found is None:
        return 0
    async with open_run(pipeline, settings) as run:
        return await work_as_helper(run, found)


def _find(settings: Settings, shard: str) -> ShardRecord | None:
    """The shard, or None if everything of its batch is done: whoever comes late need not load a model to see that."""
    ledger = open_ledger(settings.ledger_url.get_secret_value())
    try:
        found = ledger.shard(shard)
        if found is None:
            raise missing(shard)
        return None if all(one.done for one in ledger.shards(batch_of(shard))) else found
    finally:
        ledger.close()


def place_independent(pipeline: str) -> str:
    """A pipeline's name as it is; the path of a file made absolute, for processes of other folders."""
    path = Path(pipeline).expanduser()
    return str(path.resolve()) if path.suffix in (".yaml", ".yml") and path.is_file() else pipeline
