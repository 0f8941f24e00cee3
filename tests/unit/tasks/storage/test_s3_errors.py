"""Every failure of boto3 has a name of ours, says what to do, and repeats nothing of boto3's own text."""

from __future__ import annotations

import pytest
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
from tasks.storage.s3_errors import translate, translated

URI = "s3://bucket/in/a\nb.mp4"
SECRET = "https://bucket/a?X-Amz-Signature=s3cret"


def answered(status: int, code: str, **more: str) -> boto.ClientError:
    response = {"Error": {"Code": code, "Message": SECRET, **more}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(response, "GetObject")


@pytest.mark.parametrize(
    ("error", "expected", "hinted"),
    [
        (answered(404, "NoSuchBucket"), LocationMissing, "endpoint_url"),
        (answered(404, "NoSuchKey"), ObjectMissing, "deleted"),
        (answered(404, "404"), ObjectMissing, "deleted"),
        (answered(412, "PreconditionFailed"), PreconditionFailed, ""),
        (answered(409, "ConditionalRequestConflict"), PreconditionFailed, ""),
        (answered(400, "KeyTooLongError"), KeyUnsafe, "1,024"),
        (
            answered(400, "AuthorizationHeaderMalformed", Region="eu-south-2"),
            InputInvalid,
            "AWS_DEFAULT_REGION=eu-south-2",
        ),
        (answered(307, "TemporaryRedirect"), InputInvalid, "AWS_DEFAULT_REGION"),
        (answered(503, "SlowDown"), StorageUnavailable, "busy"),
        (answered(502, "502"), StorageUnavailable, "busy"),
        (answered(429, "TooManyRequests"), StorageUnavailable, "busy"),
        (answered(400, "RequestTimeout"), StorageUnavailable, "busy"),
        (answered(400, "ExpiredToken"), CredentialsRefused, "session token"),
        (answered(400, "InvalidToken"), CredentialsRefused, "AWS_ACCESS_KEY_ID"),
        (answered(403, "SignatureDoesNotMatch"), CredentialsRefused, "AWS_ACCESS_KEY_ID"),
        (answered(403, "RequestTimeTooSkewed"), CredentialsRefused, "clock"),
        (answered(403, "InvalidObjectState"), AccessDenied, "restore"),
        (answered(403, "AccessDenied"), AccessDenied, "s3:GetObject"),
        (answered(403, "AccessDenied"), AccessDenied, "requester-pays"),
        (answered(401, "Unauthorized"), AccessDenied, "s3:GetObject"),
        (answered(400, "InvalidBucketName"), InputInvalid, "bucket"),
        (answered(501, "NotImplemented"), InputInvalid, "does not take"),
        (boto.ClientError({}, "GetObject"), InputInvalid, ""),
        (boto.NoCredentialsError(), CredentialsRefused, "AWS_PROFILE"),
        (boto.ProfileNotFound(profile="p"), CredentialsRefused, "AWS_PROFILE"),
        (boto.CredentialRetrievalError(provider="p", error_msg=SECRET), CredentialsRefused, "AWS_PROFILE"),
        (boto.TokenRetrievalError(provider="sso", error_msg=SECRET), CredentialsRefused, "AWS_PROFILE"),
        (
            RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
            CredentialsRefused,
            "new",
        ),
        (boto.ParamValidationError(report=SECRET), InputInvalid, "bucket"),
        (boto.InvalidRegionError(region_name="no region"), InputInvalid, "region"),
        (ValueError(f"Invalid endpoint: {SECRET}"), InputInvalid, "endpoint_url"),
        (boto.EndpointConnectionError(endpoint_url=SECRET), StorageUnavailable, "endpoint_url"),
        (boto.ReadTimeoutError(endpoint_url=SECRET), StorageUnavailable, "endpoint_url"),
        (boto.SSLError(endpoint_url=SECRET, error="self-signed"), StorageUnavailable, "AWS_CA_BUNDLE"),
        (boto.ResponseStreamingError(error=SECRET), StorageUnavailable, "endpoint_url"),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), StorageUnavailable, "endpoint_url"),
        (ResponseParserError(SECRET), StorageUnavailable, "endpoint_url"),
    ],
)
def test_each_failure_is_named(error: Exception, expected: type[ReelrouteError], hinted: str) -> None:
    """By class, in printable words that hold no URL, with a hint that fits."""
    found = translate(error, "read", URI)
    assert expected is type(found)
    assert hinted in found.hint
    assert "s3cret" not in found.message + found.hint
    assert found.message.isprintable()


@pytest.mark.parametrize(
    ("action", "right"),
    [("list", "s3:ListBucket"), ("read", "s3:GetObject"), ("write", "s3:PutObject"), ("delete", "s3:DeleteObject")],
)
def test_a_refusal_names_the_missing_right(action: str, right: str) -> None:
    """Each action has its own."""
    assert right in translate(answered(403, "AccessDenied"), action, URI).hint


@pytest.mark.parametrize("error", [ObjectMissing("gone"), KeyError("mine"), OSError("disk")])
def test_what_is_not_botos_passes(error: Exception) -> None:
    """Our own errors and mistakes are not taken for the store's."""
    with pytest.raises(type(error)), translated("read", URI):
        raise error
