"""Who we are at Google: credentials from the SDK's own chain, tokens, and signatures with or without a key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import google.auth
import google.auth.exceptions
from google.auth import iam, impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials, Signing, with_scopes_if_required
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from tasks.domain.errors import AccessDenied, InputInvalid, NotSignable

if TYPE_CHECKING:
    from obstore.store import GCSCredential

# Writing and signing go beyond the read-only default; IAM's signBlob wants this one.
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)

LONGEST = timedelta(days=7)
# Google rotates the keys behind signBlob: a signature is good for at least this long, and maybe no longer.
# https://cloud.google.com/storage/docs/authentication/creating-signatures
LONGEST_KEYLESS = timedelta(hours=12)

_KEYLESS_HINT = (
    "use a service account's key, or run as a service account (workload identity, "
    "`gcloud auth application-default login --impersonate-service-account=ACCOUNT`)"
)


def find_credentials(given: object | None) -> Credentials:
    """Take the given credentials, or the SDK's own chain; anonymous ones where that finds none.

    Args:
        given: Credentials of google-auth, or the content of a service account's key file.

    Raises:
        InputInvalid: What was given is neither, or no usable key.
        AccessDenied: GOOGLE_APPLICATION_CREDENTIALS names no usable file.
    """
    if isinstance(given, Credentials):
        return with_scopes_if_required(given, _SCOPES)
    if isinstance(given, Mapping):
        try:
            return service_account.Credentials.from_service_account_info(dict(given), scopes=_SCOPES)
        except ValueError:  # its text may hold the key
            raise InputInvalid("the Google credentials are not a service account's key") from None
    if given is not None:
        raise InputInvalid(
            "the credentials are not Google's", hint="a gs:// source takes a GcpCredentials block, or none at all"
        )
    try:
        found, _ = google.auth.default(scopes=_SCOPES)
    except google.auth.exceptions.DefaultCredentialsError:
        if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            raise AccessDenied(
                "GOOGLE_APPLICATION_CREDENTIALS names no file with usable credentials",
                hint="name the JSON key of a service account, or unset it to use the machine's own account",
            ) from None
        return AnonymousCredentials()
    return found


def token(credentials: Credentials) -> GCSCredential:
    """A bearer token that is good now, as obstore asks for it."""
    if isinstance(credentials, AnonymousCredentials):
        # obstore 0.12 writes nothing without one: it would look for a metadata server each time.
        return {"token": "anonymous", "expires_at": None}
    if not credentials.valid:
        credentials.refresh(Request())
    expiry = credentials.expiry
    return {"token": credentials.token, "expires_at": expiry.replace(tzinfo=UTC) if expiry else None}


def signer(credentials: Credentials) -> tuple[Signing, timedelta]:
    """Something that signs for these credentials, and the longest that its signatures are sure to hold.

    Raises:
        NotSignable: They belong to no service account.
    """
    if isinstance(credentials, impersonated_credentials.Credentials):
        return credentials, LONGEST_KEYLESS
    if isinstance(credentials, Signing):
        return credentials, LONGEST
    if getattr(credentials, "service_account_email", None) == "default":
        credentials.refresh(Request())  # a machine's own account says its name only then
    email = getattr(credentials, "service_account_email", None)
    if not email:
        raise NotSignable(
            "these Google credentials belong to no service account, so they cannot sign", hint=_KEYLESS_HINT
        )
    return _Keyless(credentials, email), LONGEST_KEYLESS


class _Keyless(Signing):  # type: ignore[misc]  # google-auth has no types to check against
    """Signs through IAM's ``signBlob``: one request for each signature, no key on this machine."""

    def __init__(self, credentials: Credentials, email: str) -> None:
        self._email = email
        self._signer = iam.Signer(Request(), credentials, email)

    def sign_bytes(self, message: bytes) -> bytes:
        """Have Google sign it."""
        signature: bytes = self._signer.sign(message)
        return signature

    @property
    def signer_email(self) -> str:
        """The account whose signature it is."""
        return self._email

    @property
    def signer(self) -> Any:
        """The signer itself."""
        return self._signer
