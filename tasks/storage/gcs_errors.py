"""What goes wrong at Google Cloud Storage, in the project's own errors.

Vendor texts hold URLs and addresses of accounts, so only their status and reason are passed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import google.auth.exceptions as auth
import requests
import urllib3.exceptions
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from tasks.domain.errors import (
    AccessDenied,
    CredentialsRefused,
    InputInvalid,
    LocationMissing,
    ObjectMissing,
    PreconditionFailed,
    ReelrouteError,
    StorageUnavailable,
)
from tasks.domain.video import printable

VENDOR_ERRORS = (
    GoogleAPICallError,
    RetryError,
    InvalidResponse,
    DataCorruption,
    auth.GoogleAuthError,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    ConnectionError,
)

# Action of ours -> the right that Cloud Storage wants for it.
RIGHTS = {
    "list": "storage.objects.list",
    "read": "storage.objects.get",
    "write": "storage.objects.create, and storage.objects.delete to replace what is there",
    "delete": "storage.objects.delete",
}
LOG_IN = (
    "log in with `gcloud auth application-default login`, set GOOGLE_APPLICATION_CREDENTIALS to a key file, "
    "or name a Prefect block in `credentials`"
)


@contextmanager
def translated(action: str, uri: str, *, host: str, anonymous: bool = False) -> Iterator[None]:
    """Turn a vendor's error of the block into one of ours.

    Args:
        action: One of ``RIGHTS``.
        uri: ``gs://bucket/key``, or the root for a listing.
        host: Who was asked, for messages.
        anonymous: No credentials were found or given.
    """
    try:
        yield
    except VENDOR_ERRORS as error:
        raise translate(error, action, uri, host=host, anonymous=anonymous) from None


def translate(error: Exception, action: str, uri: str, *, host: str, anonymous: bool = False) -> ReelrouteError:
    """Name an error that happened while we tried to ``action`` ``uri``."""
    if isinstance(error, RetryError) and isinstance(error.cause, Exception):
        return translate(error.cause, action, uri, host=host, anonymous=anonymous)
    what = f"cannot {action} {printable(uri)}"
    status = _status(error)
    if status is not None:
        return _refused(status, error, action, what, uri, anonymous=anonymous)
    if anonymous and isinstance(error, auth.GoogleAuthError):
        return _denied(401, error, action, what, anonymous=True)
    if isinstance(error, (auth.DefaultCredentialsError, auth.RefreshError)) and not getattr(error, "retryable", False):
        return CredentialsRefused(f"{what}: Google's credentials are expired, revoked or cannot be read", hint=LOG_IN)
    if isinstance(error, DataCorruption):
        return StorageUnavailable(f"{what}: what came is not what is stored", hint="try again")
    if isinstance(error, requests.exceptions.InvalidURL):
        return InputInvalid(f"{what}: {host} is no address", hint="check endpoint_url and STORAGE_EMULATOR_HOST")
    return StorageUnavailable(f"{what}: {host} does not answer", hint="check the network, and `endpoint_url` if set")


def is_missing(error: Exception) -> bool:
    """Whether the vendor says that something is not there."""
    return _status(error) == 404


def _status(error: Exception) -> int | None:
    if isinstance(error, InvalidResponse):
        return int(error.response.status_code)
    if isinstance(error, GoogleAPICallError) and error.code is not None:
        return int(error.code)
    return None


def _refused(status: int, error: Exception, action: str, what: str, uri: str, *, anonymous: bool) -> ReelrouteError:
    if status == 404:
        if action in ("read", "delete") and "bucket does not exist" not in str(error):
            return ObjectMissing(f"{printable(uri)} is not there")
        bucket = uri.removeprefix("gs://").partition("/")[0]
        return LocationMissing(f"there is no bucket {printable(bucket)}", hint="check its name and the project")
    if status == 412:
        return PreconditionFailed(f"somebody else wrote {printable(uri)} first")
    if status in (401, 403):
        return _denied(status, error, action, what, anonymous=anonymous)
    if status == 429 or status >= 500:
        return StorageUnavailable(f"{what}: Cloud Storage is busy ({status})", retry_after_s=_retry_after_s(error))
    return InputInvalid(f"{what}: Cloud Storage refused the request ({status}{_reason(error)})")


def _denied(status: int, error: Exception, action: str, what: str, *, anonymous: bool) -> ReelrouteError:
    if anonymous:
        return CredentialsRefused(f"{what}: no Google credentials were found, and it is not public", hint=LOG_IN)
    if status == 401:
        return CredentialsRefused(f"{what}: Google does not accept the credentials; they may have expired", hint=LOG_IN)
    return AccessDenied(
        f"{what}: access denied (403{_reason(error)})", hint=f"the account needs {RIGHTS[action]} on the bucket"
    )


def _reason(error: Exception) -> str:
    """The API's one-word reason, such as ``forbidden``, ready to follow a status."""
    details = getattr(error, "errors", None) or ()
    reasons = [str(each["reason"]) for each in details if isinstance(each, dict) and each.get("reason")]
    return f", {printable(reasons[0])}" if reasons else ""


def _retry_after_s(error: Exception) -> float | None:
    value = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
    return float(value) if value.isdecimal() else None
