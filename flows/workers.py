"""Workers of a work pool that take shards of a large run, each in a flow run of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State, WorkerStatus
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled

DEPLOYMENT = "ingest-shard/ingest-shard"
# Helpers in containers, where the pool has no limit.
CONTAINERS = 20


@dataclass(slots=True)
class Workers:
    """A work pool whose workers take shards; see :class:`flows.sharing.Others`.

    Attributes:
        pipeline: Name, or absolute path, of the pipeline.
        places: How many helpers it has a place for.
        started: Flow runs that were started to help.
    """

    pipeline: str
    places: int
    started: list[FlowRun] = field(default_factory=list)

    async def begin(self, shards: Sequence[str]) -> None:
        """Start a helper for each of the first shards, as many as there are places for."""
        for shard in shards[: self.places]:
            parameters = {"pipeline": self.pipeline, "shard": shard}
            self.started.append(
                await arun_deployment(DEPLOYMENT, parameters=parameters, timeout=0, idempotency_key=shard)
            )

    async def dismiss(self) -> list[str]:
        """Cancel helpers that no worker had a hand free for; those that failed have told of it themselves."""
        async with get_client() as client:
            for helper in self.started:
                with suppress(ObjectNotFound, PrefectHTTPStatusError):
                    now = await client.read_flow_run(helper.id)
                    if now.state is not None and now.state.is_scheduled():
                        state: State[None] = Cancelled(message="others have done its part")
                        await client.set_flow_run_state(helper.id, state)
        return []


async def count_places() -> int:
    """How many helpers the Prefect server has a place for; 0 without the deployment of shards, or a worker.

    A helper goes on for as long as a shard is free, so that one for each machine is enough: each has a
    start of its own to pay. A worker that starts containers has as many places as its pool's limit says.
    """
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(DEPLOYMENT)
            if deployment.work_pool_name is None or deployment.paused:
                return 0
            pool = await client.read_work_pool(deployment.work_pool_name)
            workers = await client.read_workers_for_work_pool(deployment.work_pool_name)
        except ObjectNotFound:
            return 0
    online = sum(worker.status is WorkerStatus.ONLINE for worker in workers)
    if pool.type == "process":
        return online
    return (pool.concurrency_limit or CONTAINERS) if online or pool.is_push_pool else 0
