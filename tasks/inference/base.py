"""What reelroute asks of whoever runs the model.

One job is one video under one inference spec. Submitting costs money and is not idempotent,
so a backend never retries a submission whose answer was lost: it raises
:class:`tasks.domain.errors.SubmissionUnknown`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tasks.domain.job import InferenceSpec, ModelRef
from tasks.domain.predictions import TaskType
from tasks.domain.video import SignedUrl


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the service knows of a model; looked up once per run.

    Attributes:
        ref: The model.
        task: Its inference type; the job request must name it.
        classes: Class names as the service's control plane lists them (in the order of their ids
            at our own service; results name class and id themselves); empty for foundation models.
    """

    ref: ModelRef
    task: TaskType
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalVideo:
    """A file on this machine that the service cannot fetch and that is uploaded instead.

    Attributes:
        path: Where it is.
        upload_name: Unique name to give it at the service (two files of one basename
            would overwrite each other there).
    """

    path: Path
    upload_name: str


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One answer to "how is this job?" (a failed job is raised, not returned).

    Attributes:
        done: True once the results can be downloaded.
        result_url: Set when done; expires, so download at once.
    """

    done: bool
    result_url: SignedUrl | None = field(default=None, repr=False)


class Permit(Protocol):
    """Leave to send the one request that costs money, asked for at the last moment.

    Both methods raise what ends the submission; the request has not been sent then.
    """

    async def confirm(self) -> None:
        """Make sure, where every process looks, that the job is still ours to submit."""
        ...

    def check(self) -> None:
        """Make sure that it was confirmed just now: the process may have been suspended since."""
        ...


class InferenceBackend(Protocol):
    """Submit, check and download jobs. Asynchronous; one instance serves many jobs at once.

    Every method may raise ``AuthRefused``, ``PlanRefused``, ``RateLimited`` (with its wait),
    ``ServiceUnavailable`` and ``RequestRefused`` of :mod:`tasks.domain.errors`.
    """

    async def describe(self, models: tuple[ModelRef, ...]) -> tuple[ModelInfo, ...]:
        """Look up type and classes of each model.

        Raises:
            ModelUnknown: The service has no such model, or not for videos.
        """
        ...

    async def submit(
        self,
        video: SignedUrl | LocalVideo,
        spec: InferenceSpec,
        models: tuple[ModelInfo, ...],
        permit: Permit | None = None,
    ) -> str:
        """Start the job and return its id; a local file is uploaded first.

        Sends the job request once, with ``permit`` confirmed when everything else is done, and
        checked once more on the open connection. Whatever is raised but ``SubmissionUnknown``, no job was
        created. Being cancelled in mid-request leaves the same doubt as ``SubmissionUnknown``.

        Raises:
            SubmissionUnknown: The request was sent and its answer was lost.
            ModelUnknown: The service does not take this kind of model.
            ObjectMissing, AccessDenied, StorageUnavailable: A local file cannot be uploaded.
        """
        ...

    async def check(self, job_id: str) -> JobStatus:
        """Ask how the job is; passing trouble is tried again a few times.

        Only ``JobFailed`` and ``JobUnknown`` say something about the job. After any other error
        it may well be running, or done.

        Raises:
            JobFailed: The service says so; the error carries its code and message.
            JobUnknown: The service does not know the id.
        """
        ...

    async def download(self, result_url: SignedUrl, target: Path) -> int:
        """Stream the results to ``target`` (which appears only when whole); return the bytes.

        Raises:
            ResultExpired: The URL no longer works; ``check`` gives a fresh one.
            ServiceUnavailable: Nothing came that says how the results are, such as a web page.
            ResultInvalid: The body is not a JSON object, an empty one, or too large.
            StorageUnavailable: The disk did not take it.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
