"""How a batch gets a run: as a Prefect deployment's, or as a process of our own."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import suppress
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from tasks.domain.video import printable
from tasks.ledger.inbox import Batch

_log = logging.getLogger("reelroute.events")
UPLOADS_LANDED = "reelroute.uploads.landed"
_ENDS_WITHIN_S = 10.0
_ANSWERS_WITHIN_S = 5.0


class StartFailed(Exception):
    """No run could be started now; its text says why, without secrets."""


class Starter(Protocol):
    """Starts runs and knows what became of them."""

    @property
    def patience(self) -> timedelta:
        """How long a run may take to begin before it is asked after."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether another batch had better wait (and grow)."""
        ...

    async def start(self, reference: str, batch: Batch) -> str:
        """Start the batch's run, or find the one that was started before; return its id.

        Raises:
            StartFailed: Not now.
        """
        ...

    async def is_over(self, run: str) -> bool | None:
        """Whether a run has ended or is gone; None if that cannot be told now."""
        ...

    async def check(self) -> str:
        """Why no run could be started now, or "" if one could."""
        ...

    async def close(self) -> None:
        """End what would not outlive us."""
        ...


class PrefectStarter:
    """Starts flow runs of a deployment, on whatever work pool it has."""

    patience = timedelta(minutes=2)
    is_busy = False

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment

    async def start(self, reference: str, batch: Batch) -> str:
        """Start the flow run; the batch's id keeps Prefect from making a second one.

        Raises:
            StartFailed: The server is out of reach, or has no such deployment.
        """
        import httpx
        from prefect.deployments import run_deployment
        from prefect.exceptions import ObjectNotFound, PrefectException

        try:
            run = await run_deployment(  # type: ignore[misc]
                self._deployment,
                parameters={"pipeline": reference, "batch": batch.id},
                timeout=0,
                idempotency_key=f"on-upload-{batch.id}",
                as_subflow=False,
            )
        except ObjectNotFound:
            raise StartFailed(
                f"Prefect has no deployment {printable(self._deployment)}: `reelroute deploy` registers it"
            ) from None
        except (httpx.HTTPError, PrefectException, OSError, RuntimeError) as error:
            raise StartFailed(f"Prefect's server does not take the run ({type(error).__name__})") from None
        _tell(batch, str(run.id))
        return str(run.id)

    async def is_over(self, run: str) -> bool | None:
        """Ask the server."""
        import httpx
        from prefect import get_client
        from prefect.exceptions import ObjectNotFound, PrefectException

        try:
            async with get_client() as client:
                found = await client.read_flow_run(UUID(run))
        except (ObjectNotFound, ValueError):
            return True
        except (httpx.HTTPError, PrefectException, OSError, RuntimeError):
            return None
        return found.state is not None and found.state.is_final()

    async def check(self) -> str:
        """Ask the server how it is."""
        from prefect import get_client

        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S), get_client() as client:
                error = await client.api_healthcheck()
        except (TimeoutError, OSError, RuntimeError) as failure:
            error = failure
        return f"Prefect's server does not answer ({type(error).__name__})" if error else ""

    async def close(self) -> None:
        """Runs are the workers'."""


def _tell(batch: Batch, run: str) -> None:
    """Emit an event for automations to react to: one per batch, never one per video."""
    from prefect.events import emit_event

    emit_event(
        event=UPLOADS_LANDED,
        id=UUID(batch.id),  # told again by whoever starts it again, it is still one
        resource={"prefect.resource.id": f"reelroute.pipeline.{batch.pipeline}"},
        related=[{"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.role": "flow-run"}],
        payload={"pipeline": batch.pipeline, "batch": batch.id, "uploads": batch.size},
    )


class ProcessStarter:
    """Runs one batch after the other in processes of this machine, where there is no Prefect server to ask."""

    patience = timedelta(seconds=20)

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_busy(self) -> bool:
        """One at a time: what lands meanwhile makes the next batch."""
        return self._process is not None and self._process.returncode is None

    async def start(self, reference: str, batch: Batch) -> str:
        """Start the process.

        Raises:
            StartFailed: Another one is at work, or the system has no room for it.
        """
        if self.is_busy:
            raise StartFailed("another batch is being run")
        command = [sys.executable, "-P", "-m", "deployments.services.events.run_batch", reference, batch.id]
        try:
            # Stdout is for whoever started the service; what the run says is for people.
            # A run needs what any run does, but not the keys of the service.
            own = ("REELROUTE_EVENTS_", "REELROUTE_METRICS_KEY")
            environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=sys.stderr, env=environment
            )
        except OSError as error:
            raise StartFailed(f"the run's process does not start: {error.strerror}") from None
        return f"process:{self._process.pid}"

    async def is_over(self, run: str) -> bool | None:
        """Whether it is not the one that is at work."""
        process = self._process
        return process is None or not self.is_busy or run != f"process:{process.pid}"

    async def check(self) -> str:
        """A process can always be started."""
        return ""

    async def close(self) -> None:
        """Let the process wind down: it gives back what it has not begun."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _ENDS_WITHIN_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
