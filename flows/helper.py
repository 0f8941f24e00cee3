"""One shard of somebody else's run, in a process that shares nothing with it but the ledger."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from config.settings import Settings
from flows.sharing import work_as_helper
from tasks.ledger.open import open_ledger
from tasks.ledger.shard_base import ShardRecord
from tasks.run import Run, open_run
from tasks.shards import batch_of, missing

# Between two looks at whether the run that leads still does.
LOOK_S = 0.5


async def help_with(pipeline: str, shard: str, lead: str = "") -> int:
    """Open the run anew, work through the shard and then through others of its batch; return how many.

    Args:
        lead: What :func:`leading` gave the run that this is a part of: it is wound down with it. Without,
            it goes on by itself.

    Raises:
        InputInvalid: The ledger here does not have the shard.
    """
    settings = Settings.load()
    found = await asyncio.to_thread(_find, settings, shard, lead)
    if found is None:
        return 0
    async with open_run(pipeline, settings) as run:
        following = asyncio.create_task(_follow(run, lead))
        try:
            return await work_as_helper(run, found)
        finally:
            following.cancel()


@asynccontextmanager
async def leading(run: Run) -> AsyncIterator[str]:
    """A file that is there until the block ends or the run is asked to stop, for helpers on the same machine."""
    with run.work_folder() as folder:
        lead = folder / "lead"
        lead.touch()
        watching = asyncio.create_task(_end(run, lead))
        try:
            yield str(lead)
        finally:
            watching.cancel()


async def _end(run: Run, lead: Path) -> None:
    await run.stop.unless_asked(asyncio.Event().wait())
    await asyncio.to_thread(lead.unlink, missing_ok=True)


async def _follow(run: Run, lead: str) -> None:
    """Stop when the run that leads does."""
    while lead and await run.pause(LOOK_S):
        if not await asyncio.to_thread(Path(lead).exists):
            run.stop.ask(signal.SIGTERM)


def _find(settings: Settings, shard: str, lead: str) -> ShardRecord | None:
    """The shard, or None if there is nothing left to do: whoever comes late need not load a model to see that."""
    if lead and not Path(lead).exists():
        return None
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
