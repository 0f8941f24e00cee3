"""How Prefect treats our tasks: one retry rule, one place.

The client honours 429 and Retry-After itself; Prefect's retries are for "this video's step
failed in a way that may pass". What was submitted is in the ledger, so trying a task again
never pays twice.
"""

from __future__ import annotations

from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from tasks.domain.errors import Retryable


async def is_retryable(_task: Task[..., Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Say whether the error that ended this attempt may pass.

    A module-level function on purpose: Prefect 3.8 silently ignores any other callable.
    """
    error = await state.result(raise_on_failure=False)  # type: ignore[misc]
    return isinstance(error, Retryable)


# Parameters hold clients and large values, and the ledger is the truth: nothing is cached.
STEP: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
RETRY_WAITS_S = (2.0, 4.0)
PATIENT_STEP: dict[str, Any] = {
    **STEP,
    "retries": len(RETRY_WAITS_S),
    "retry_delay_seconds": list(RETRY_WAITS_S),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_retryable,
}
