"""Whether a run may leave its jobs at the service: not at one that ends with the run."""

from __future__ import annotations

from config.pipeline import Pipeline
from config.settings import Settings
from tasks.domain.errors import InputInvalid


def require_service_that_stays(pipeline: Pipeline, settings: Settings) -> None:
    """Refuse not to wait for a service that the run starts for itself.

    Raises:
        InputInvalid: It would end with the run, and nobody would be at work on the jobs.
    """
    backend = pipeline.inference.backend
    if settings.service_for(backend) is None:
        raise InputInvalid(
            f"`backend: {backend}` starts a service for the run, which ends with it: without waiting, no job would be "
            "worked on",
            hint="wait (no --no-wait, `wait: true`), or keep a service running (`reelroute serve inference`) and set "
            "ROBOFLOW_API_URL to its address",
        )
