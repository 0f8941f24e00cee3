"""What goes wrong at Azure Blob Storage, in the project's own errors.

Vendor texts hold URLs with signatures and the string that was signed, so only the status and
the service's error code are passed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

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

# Action of ours -> the data action that Azure wants for it, and a role that has it.
RIGHTS = {
    "list": "Storage Blob Data Reader, or `l` in a SAS",
    "read": "Storage Blob Data Reader, or `r` in a SAS",
    "write": "Storage Blob Data Contributor, or `c` and `w` in a SAS",
    "delete": "Storage Blob Data Contributor, or `d` in a SAS",
    "sign": "Storage Blob Delegator on the account (generateUserDelegationKey)",
}
LOG_IN = (
    "log in with `az login`, set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_KEY, "
    "or name a Prefect block in `credentials`"
)

_CONTAINER_GONE = frozenset({"ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled", "FilesystemNotFound"})
_BAD_CREDENTIALS = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo"})
_HIDDEN = frozenset({"ResourceNotFound", "PublicAccessNotPermitted", "NoAuthenticationInformation"})
_ARCHIVED = frozenset({"BlobArchived", "BlobBeingRehydrated"})


@contextmanager
def translated(action: str, uri: str, *, host: str, anonymous: bool = False) -> Iterator[None]:
    """Turn a vendor's error of the block into one of ours.

    Args:
        action: One of ``RIGHTS``.
        uri: ``az://container/key``, or the root for a listing.
        host: Who was asked, for messages.
        anonymous: No credentials were found or given.
    """
    try:
        yield
    except AzureError as error:
        raise translate(error, action, uri, host=host, anonymous=anonymous) from None


def translate(error: AzureError, action: str, uri: str, *, host: str, anonymous: bool = False) -> ReelrouteError:
    """Name an error that happened while we tried to ``action`` ``uri``."""
    what = f"cannot {action} {printable(uri)}"
    status = error.status_code if isinstance(error, HttpResponseError) else None
    if status is not None:
        return _refused(status, error, action, what, uri, anonymous=anonymous)
    if isinstance(error, ClientAuthenticationError):
        return CredentialsRefused(f"{what}: no token could be had for the Azure credentials", hint=LOG_IN)
    return StorageUnavailable(
        f"{what}: {host} does not answer", hint="check the network, and the names in `account` and `endpoint_url`"
    )


def code_of(error: AzureError) -> str:
    """The service's own name for an error, or ""."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _refused(status: int, error: AzureError, action: str, what: str, uri: str, *, anonymous: bool) -> ReelrouteError:
    code = code_of(error)
    shown = f"{status}{', ' if code else ''}{printable(code)}"
    container = uri.removeprefix("az://").partition("/")[0]
    if anonymous and (status in (401, 403) or code in _HIDDEN):
        return CredentialsRefused(f"{what}: no Azure credentials were found, and it is not public", hint=LOG_IN)
    if code in _CONTAINER_GONE or (status == 404 and action in ("list", "write")):
        return LocationMissing(f"there is no container {printable(container)}", hint="check its name and the account")
    if status == 404:
        return ObjectMissing(f"{printable(uri)} is not there")
    if status == 412 or code in ("BlobAlreadyExists", "UnmodifiedSinceConditionNotMet"):
        return PreconditionFailed(f"somebody else wrote {printable(uri)} first")
    if code in _ARCHIVED:
        return AccessDenied(f"{what}: it is in the archive tier", hint="rehydrate it to hot or cool, then run again")
    if status in (401, 403):
        return _denied(shown, code, action, what)
    if status in (408, 429) or status >= 500:
        return StorageUnavailable(f"{what}: the service is busy ({shown})", retry_after_s=_retry_after_s(error))
    return InputInvalid(f"{what}: the service refused the request ({shown})")


def _denied(shown: str, code: str, action: str, what: str) -> ReelrouteError:
    if code in _BAD_CREDENTIALS:
        return CredentialsRefused(f"{what}: the credentials are wrong or have expired ({shown})", hint=LOG_IN)
    if code == "KeyBasedAuthenticationNotPermitted":
        return CredentialsRefused(
            f"{what}: the account takes no keys ({shown})", hint="use `az login` or a service principal"
        )
    if code == "AuthorizationFailure":
        hint = f"the account's firewall may not let this network in; else the role needed is {RIGHTS[action]}"
        return AccessDenied(f"{what}: access denied ({shown})", hint=hint)
    return AccessDenied(f"{what}: access denied ({shown})", hint=f"needed: {RIGHTS[action]}")


def _retry_after_s(error: AzureError) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None
