"""Forget what is long over; see :mod:`tasks.prune` for what is kept whatever its age."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import flow, get_run_logger

from config.settings import Settings
from flows.naming import run_name
from tasks.prune import OLDER_THAN, prune_now
from tasks.unforeseen import discreet


@flow(name="prune", flow_run_name=run_name, persist_result=False)
async def prune(pipeline: str = "", older_than: str = OLDER_THAN, dry_run: bool = False) -> dict[str, Any]:
    """Remove history, reports, results of replaced versions and leftovers; no job is forgotten.

    Args:
        pipeline: Name of a file in config/pipelines, or a path to one; everything without it.
        older_than: What has been over for so long: a number and a unit, such as 90d; at least a day.
        dry_run: Only count what would be removed.
    """
    with discreet("pruning"):
        pruned = await asyncio.to_thread(
            prune_now, Settings.load(), pipeline=pipeline, older_than=older_than, dry_run=dry_run
        )
    get_run_logger().info("%s", pruned.as_json())
    return pruned.as_json()
