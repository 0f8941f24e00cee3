"""A part of a large ingest, in a process of its own on any machine that shares the ledger."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.helper import help_with


@flow(name="ingest-shard", flow_run_name="{shard}", persist_result=False)
async def ingest_shard(pipeline: str, shard: str) -> Any:
    """Work through a shard that a large ingest has written down, then through others that nobody has begun.

    The ingest reports; a shard whose worker dies is given to another.

    Args:
        pipeline: Name of the pipeline.
        shard: Id of the shard in the ledger.
    """
    return {"shards": await help_with(pipeline, shard)}
