"""What a service is started with, and the checks that need nothing but the values themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from deployments.services.exposure import refuse_open_address
from tasks.domain.errors import InputInvalid

# The hosted service's upload URLs say 3600 and its SDK reports that number to people.
UPLOAD_LIFETIME = timedelta(seconds=3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may use; enforced by the worker that runs it.

    Attributes:
        allow_private: Let ``http(s)`` videos be fetched from private and loopback addresses.
        max_bytes: Largest video.
        max_duration_s: Longest video, in seconds of footage.
    """

    allow_private: bool
    max_bytes: int
    max_duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Everything that decides how a service behaves.

    Attributes:
        api_key: Callers must send it; also the root of every URL signature.
        state_dir: Jobs, results and uploads; several services may share one.
        host, port: Where to listen; port 0 takes a free one.
        models: Project slug -> ONNX file, each offered as version 1, besides the bundled model.
        allow_folders: Folders whose files may be named by ``file:///`` or signed ``/files/`` URLs.
        workers: Worker processes; None for one per core.
        allow_private: Let ``http(s)`` videos be fetched from private and loopback addresses.
        max_bytes: Largest video, uploaded or fetched.
        max_duration: Longest video.
        job_timeout: A job that has run this long is stopped and fails.
        result_lifetime: How long a result URL works; polling again gives a fresh one.
        retention: Ended jobs, results and uploads older than this are deleted.

    Raises:
        InputInvalid: A value is impossible.
    """

    api_key: str = field(repr=False)
    state_dir: Path
    host: str = "127.0.0.1"
    port: int = 9001
    models: Mapping[str, Path] = field(default_factory=dict)
    allow_folders: tuple[Path, ...] = ()
    workers: int | None = None
    allow_private: bool = False
    max_bytes: int = 20_000_000_000
    max_duration: timedelta = timedelta(hours=12)
    job_timeout: timedelta = timedelta(hours=6)
    result_lifetime: timedelta = timedelta(hours=1)
    retention: timedelta = timedelta(days=7)

    def __post_init__(self) -> None:
        refuse_open_address(self.host, self.api_key, service="inference service", variable="ROBOFLOW_API_KEY")
        if not self.api_key.strip():  # on loopback too: it signs the URLs that the service gives out
            raise InputInvalid("the inference service needs an API key", hint="set ROBOFLOW_API_KEY")
        if self.workers is not None and self.workers < 1:
            raise InputInvalid(f"{self.workers} workers cannot run a job", hint="give 1 or more")
        if self.max_bytes < 1:
            raise InputInvalid(f"a limit of {self.max_bytes} bytes lets no video through")
        for name in ("max_duration", "job_timeout", "result_lifetime", "retention"):
            if getattr(self, name) <= timedelta(0):
                raise InputInvalid(f"{name} must be longer than nothing")

    @property
    def worker_count(self) -> int:
        """Worker processes to start."""
        if self.workers is not None:
            return self.workers
        # Containers and taskset may give us fewer cores than the machine has.
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1

    @property
    def limits(self) -> Limits:
        """The part that travels to the workers."""
        return Limits(
            allow_private=self.allow_private,
            max_bytes=self.max_bytes,
            max_duration_s=self.max_duration.total_seconds(),
        )
