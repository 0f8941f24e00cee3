"""What boto3 raises, in the project's own errors. No text of botocore's is passed on: it may hold URLs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from tasks.domain.errors import (
    AccessDenied,
    CredentialsRefused,
    InputInvalid,
    KeyUnsafe,
    LocationMissing,
    ObjectMissing,
    PreconditionFailed,
    ReelrouteError,
    StorageUnavailable,
)
from tasks.domain.video import printable

_RIGHTS = {
    "list": "s3:ListBucket on the bucket",
    # Without the right to list, AWS says "denied" of an object that is not there.
    "read": "s3:GetObject on the objects, or s3:ListBucket to be told that one is gone,",
    # AWS wants to read an object whose replacement depends on what is there.
    "write": "s3:PutObject and s3:GetObject on the objects",
    "delete": "s3:DeleteObject on the objects",
}
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})
_WRONG_KEYS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId", "InvalidSecurity"}
)
_WRONG_REGION = frozenset(
    {
        "PermanentRedirect",
        "TemporaryRedirect",
        "Redirect",
        "301",
        "307",
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "IllegalLocationConstraintException",
    }
)
_BUSY = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "InternalError", "ServiceUnavailable", "429"}
)
_CONFLICTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.MetadataRetrievalError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ProfileNotFound,
    boto.ConfigNotFound,
    boto.InvalidConfigError,
    boto.InfiniteLoopConfigError,
    boto.UnknownCredentialError,
)
_WRONG_INPUT = (
    boto.ParamValidationError,
    boto.UnsupportedS3ConfigurationError,
    boto.InvalidRegionError,
    boto.NoRegionError,
)


@contextmanager
def translated(action: str, uri: str) -> Iterator[None]:
    """Turn what botocore raises in the block into one of ours.

    Args:
        action: "list", "read", "write" or "delete".
        uri: Of the object, or of the root when listing.
    """
    try:
        yield
    except (boto.ClientError, boto.BotoCoreError, ResponseParserError, ValueError, RuntimeError) as error:
        raise translate(error, action, uri) from None


def code_of(error: boto.ClientError) -> str:
    """S3's own name of the failure; for answers without a body the HTTP status, as text."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: boto.ClientError) -> int:
    """The HTTP status of an answer, 0 if there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def translate(error: Exception, action: str, uri: str) -> ReelrouteError:
    """Name a failure that happened while we tried to ``action`` ``uri``."""
    message = f"cannot {action} {printable(uri)}"
    if isinstance(error, boto.ClientError):
        return _answered(error, action, uri, message)
    name = type(error).__name__
    if isinstance(error, RuntimeError):  # what botocore says of renewed credentials that have expired as well
        return CredentialsRefused(f"{message}: the credentials have expired", hint=_denied_hint("ExpiredToken", action))
    if isinstance(error, _NO_CREDENTIALS):
        return CredentialsRefused(
            f"{message}: the credentials cannot be had ({name})",
            hint="check AWS_PROFILE and the credentials that it names; `aws sts get-caller-identity` shows them",
        )
    if isinstance(error, (*_WRONG_INPUT, ValueError)):
        return InputInvalid(f"{message}: {name}", hint="check the bucket's name, the endpoint_url and the region")
    hint = "check the endpoint_url, and that this machine reaches it"
    if isinstance(error, boto.SSLError):
        hint = "the certificate is not trusted: check the endpoint_url, or name your CA in AWS_CA_BUNDLE"
    return StorageUnavailable(f"{message}: the store does not answer ({name})", hint=hint)


def _answered(error: boto.ClientError, action: str, uri: str, message: str) -> ReelrouteError:
    code = code_of(error)
    status = status_of(error)
    reason = f"{message}: {printable(code)}"
    bucket = uri.removeprefix("s3://").partition("/")[0]
    if code == "NoSuchBucket":
        return LocationMissing(
            f"there is no bucket {printable(bucket)}", hint="check its name, the endpoint_url and the account"
        )
    if code in _CONFLICTS:
        return PreconditionFailed(f"somebody else wrote {printable(uri)} first")
    if code in ("KeyTooLongError", "KeyTooLong", "InvalidURI"):
        return KeyUnsafe(reason, hint="with its prefix, a key has at most 1,024 bytes")
    if code in _WRONG_REGION:
        region = _region_of(error)
        right = (
            f"the bucket is in {region}: set AWS_DEFAULT_REGION={region}"
            if region
            else "set AWS_DEFAULT_REGION to the bucket's region"
        )
        return InputInvalid(f"{reason}: not the bucket's region", hint=right)
    if code in _BUSY or status == 429 or (status >= 500 and status != 501):
        return StorageUnavailable(reason, hint="the store is busy; run again later")
    if status == 404:
        return ObjectMissing(f"there is no {printable(uri)}")
    if code in _EXPIRED | _WRONG_KEYS | {"RequestTimeTooSkewed"}:
        return CredentialsRefused(reason, hint=_denied_hint(code, action))
    if status in (401, 403):
        return AccessDenied(reason, hint=_denied_hint(code, action))
    return InputInvalid(reason, hint="the store does not take such a request; check the bucket and the endpoint_url")


def _denied_hint(code: str, action: str) -> str:
    if code in _EXPIRED:
        return "the session token has expired: get new credentials (`aws sso login`, or assume the role again)"
    if code in _WRONG_KEYS:
        return "the store does not know these keys: check AWS_ACCESS_KEY_ID, the secret, the token and the endpoint_url"
    if code == "RequestTimeTooSkewed":
        return "this machine's clock is wrong: set it"
    if code == "InvalidObjectState":
        return "the object is in an archive tier: restore it first"
    return f"the credentials lack {_RIGHTS[action]} (or its KMS key); a requester-pays bucket answers its owner only"


def _region_of(error: boto.ClientError) -> str:
    return region_in(error.response) or str(error.response.get("Error", {}).get("Region", ""))


def region_in(response: dict[str, Any]) -> str:
    """The bucket's region as an answer's headers tell it, or ""."""
    return str(response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", ""))
