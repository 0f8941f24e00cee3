"""The one tree of errors that people and retry policies see.

    ReelrouteError
    ├── Retryable    trying the same step again may help (429, 5xx, reset)
    ├── Permanent    trying again gives the same answer (bad file, bad key, bad YAML)
    └── Ambiguous    we cannot know whether it happened (the answer was lost)

Each class has a stable ``code``, which ends up in the ledger, in reports and in ``--json`` output. Vendor exceptions
are translated in the module that knows the vendor, with ``raise ... from None`` where their text could hold a secret.
"""

from __future__ import annotations

from typing import ClassVar


class ReelrouteError(Exception):
    """Something went wrong that we can name.

    Attributes:
        message: What happened, to what, in one sentence, free of secrets.
        hint: What the reader can do about it, or "".
        code: Stable snake_case name of the kind of failure.
        exit_code: What the command line returns when this ends a run: 1 some videos failed, 2 input is wrong, 3 a
            service refused or is out of reach.
    """

    code: str = "error"
    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint


class Retryable(ReelrouteError):
    """The same step may succeed later: after ``retry_after_s`` seconds, where the other side asked for so many."""

    def __init__(self, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Permanent(ReelrouteError):
    """The same step would fail the same way again."""


class Ambiguous(ReelrouteError):
    """The step may or may not have happened; never repeat it blindly."""


class Unforeseen(Permanent):
    """A fault of ours, or of a library, that nobody foresaw; its own text, which may hold anything, is in the log."""

    code = "unexpected"
    default_hint = "the log has the details (`--verbose`); please report it: this should not happen"


class InputInvalid(Permanent):
    """A pipeline file, a setting or an argument is wrong; nothing was run."""

    code = "input_invalid"
    exit_code = 2


class ObjectMissing(Permanent):
    """The object is not there (any more)."""

    code = "object_missing"
    default_hint = "it was deleted or renamed after it was listed; the next run will not see it"


class VideoReplaced(ObjectMissing):
    """Another version stands in the place of the one that was planned."""

    code = "video_replaced"
    default_hint = "the next run takes the new version"


class LocationMissing(Permanent):
    """The folder, bucket or container does not exist."""

    code = "location_missing"
    exit_code = 2


class AccessDenied(Permanent):
    """The credentials are valid but do not allow this."""

    code = "access_denied"
    exit_code = 3


class CredentialsRefused(AccessDenied):
    """The credentials themselves are wrong, have expired or cannot be had; no object is meant."""


class KeyUnsafe(Permanent):
    """The key would leave its root, or no client could fetch it by URL."""

    code = "key_unsafe"
    default_hint = "rename the object: keys with '.' or '..' segments cannot be addressed safely"


class NotSignable(Permanent):
    """No URL can be signed for this object with what we have."""

    code = "not_signable"
    exit_code = 3


class PreconditionFailed(Retryable):
    """Somebody else wrote the object first; read it again and redo the change."""

    code = "precondition_failed"


class StorageUnavailable(Retryable):
    """The store did not answer, or answered that it is busy."""

    code = "storage_unavailable"
    exit_code = 3


class AuthRefused(Permanent):
    """The service does not accept our key (401, 403)."""

    code = "auth_refused"
    exit_code = 3
    default_hint = "check ROBOFLOW_API_KEY: it must belong to the workspace that owns the model"


class PlanRefused(Permanent):
    """The workspace's plan does not include this (402, 423)."""

    code = "plan_refused"
    exit_code = 3
    default_hint = "the workspace's plan or credits do not cover video inference"


class RateLimited(Retryable):
    """The service asked us to slow down (429)."""

    code = "rate_limited"
    exit_code = 3


class ServiceUnavailable(Retryable):
    """The service could not be reached, or failed on its side, before it took the request."""

    code = "service_unavailable"
    exit_code = 3


class NotTheService(ServiceUnavailable):
    """Something else answered in the service's place: a proxy, a captive portal, a redirect."""

    code = "not_the_service"
    default_hint = "check ROBOFLOW_API_URL, and the proxy or the log-in page of the network between"


class RequestRefused(Permanent):
    """The service understood the request and refuses it (400, 404, 422)."""

    code = "request_refused"


class ModelUnknown(Permanent):
    """The service has no such model, or its kind cannot run on videos."""

    code = "model_unknown"
    exit_code = 3


class SubmissionUnknown(Ambiguous):
    """The request left us and no answer came: the job may exist and may be billed."""

    code = "submission_unknown"
    default_hint = "never resubmitted on its own; settle it with `reelroute replay PIPELINE --unknown`"


class JobFailed(Permanent):
    """The service ran the job and says that it failed, under its own ``code`` where it gives one."""

    code = "job_failed"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code or self.code


class JobUnknown(Permanent):
    """The service does not know the job id (any more)."""

    code = "job_unknown"


class DeadlinePassed(Permanent):
    """The job was not finished within the pipeline's deadline."""

    code = "deadline_passed"
    default_hint = "the job may still finish: `reelroute replay PIPELINE --failed` collects a late result"


class ResultExpired(Retryable):
    """The result URL no longer works; asking for the job again gives a fresh one."""

    code = "result_expired"


class ResultInvalid(Permanent):
    """What was downloaded is not a results JSON that can be trusted."""

    code = "result_invalid"


class ResultPruned(Permanent):
    """The results are not stored any more: pruned with a version that was replaced for long, or removed by hand."""

    code = "result_pruned"
    default_hint = "`reelroute replay PIPELINE --failed` asks the service for them, and otherwise pays again"


class ServerUnavailable(Retryable):
    """The orchestration server could not be reached, or failed on its side."""

    code = "server_unavailable"
    exit_code = 3
    default_hint = "check PREFECT_API_URL, and that `prefect server start` is running there"


class VideoUnreadable(Permanent):
    """The bytes are not a video that we can decode."""

    code = "video_unreadable"


class VideoEmpty(VideoUnreadable):
    """The object has no bytes, or no frames."""

    code = "video_empty"


class VideoTruncated(VideoUnreadable):
    """The file ends before its own index says that it should."""

    code = "video_truncated"
    default_hint = "upload the file again: it was cut short"


class VideoTooLarge(Permanent):
    """The video is longer or larger than the service allows."""

    code = "video_too_large"


class FpsTooHigh(Permanent):
    """More frames per second were asked for than the video has."""

    code = "fps_too_high"
    default_hint = "lower `inference.fps` to at most the video's own frame rate"


class ModelInvalid(Permanent):
    """The model file cannot be loaded or its outputs are of no known layout."""

    code = "model_invalid"
    exit_code = 2


class DeliveryFailed(Permanent):
    """A route could not take this video's predictions."""

    code = "delivery_failed"


class OntologyMismatch(DeliveryFailed):
    """Labelbox' ontology has a feature of that name that does not take what is predicted."""

    code = "ontology_mismatch"
    exit_code = 2


class AnnotationsRefused(DeliveryFailed):
    """Labelbox took the upload and refuses some or all of a video's annotations."""

    code = "annotations_refused"


class DataRowRefused(DeliveryFailed):
    """Labelbox cannot make a data row of the video: it cannot read it, or not play it."""

    code = "data_row_refused"


class StillProcessing(Retryable):
    """Labelbox has not finished with the video, or with an upload, in the time that we give it."""

    code = "still_processing"
    default_hint = "it is delivered by the next run; nothing is uploaded twice"


class LedgerUnusable(Permanent):
    """The ledger cannot be opened: unreadable, read-only, or from a newer version."""

    code = "ledger_unusable"
    exit_code = 2


class LedgerMissing(LedgerUnusable):
    """There is no ledger yet where it is looked for."""

    code = "ledger_missing"
    default_hint = "`reelroute run PIPELINE` makes it; check REELROUTE_HOME and REELROUTE_LEDGER_URL"


class LedgerUnavailable(Retryable):
    """The ledger's database is out of reach, busy, or dropped us; what was asked may have to be asked again."""

    code = "ledger_unavailable"
    exit_code = 3
    default_hint = "check that the database runs and lets this machine in; nothing that was recorded is lost"


class SlotsFull(Retryable):
    """As many jobs are open at the service as may be; nothing was changed."""

    code = "slots_full"
    default_hint = "a slot is free again when a job ends: `reelroute collect` fetches those that have"


class CopyAhead(Retryable):
    """A copy of this video is at the service, or has results already; nothing was changed."""

    code = "copy_ahead"
    default_hint = "the next run takes over the copy's results"


class BudgetSpent(Retryable):
    """The budget of the period has no room for this video; nothing was changed."""

    code = "budget_spent"


class LedgerConflict(Retryable):
    """Another process moved the row first; what we believed about it is out of date."""

    code = "ledger_conflict"
