"""Tokens that senders come with: Google's of Pub/Sub, Entra's of Event Grid.

https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
https://learn.microsoft.com/azure/event-grid/secure-webhook-delivery
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import google.auth.exceptions
import jwt
from google.auth import jwt as google_jwt

from deployments.services.events.fetching import Fetch, Kept
from deployments.services.events.refused import Refused

GOOGLE_CERTIFICATES = "https://www.googleapis.com/oauth2/v1/certs"
_GOOGLE_ISSUERS = ("accounts.google.com", "https://accounts.google.com")
# The application that Event Grid is in every tenant.
EVENT_GRID = "4962773b-9cdb-44cf-a8bf-237846a00ab7"
_LEEWAY_S = 60
# A key that we do not know may be new; asking more often would let anybody make us ask.
_ASK_AGAIN = timedelta(minutes=1)


def bearer(authorization: str) -> str:
    """The token of a header.

    Raises:
        Refused: There is none.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(401, "token_missing", "there is no bearer token")
    return token.strip()


class GoogleTokens:
    """Checks tokens of Google for one audience and one service account."""

    def __init__(self, audience: str, account: str, load: Fetch, clock: Callable[[], datetime]) -> None:
        self._audience = audience
        self._account = account
        self._certificates: Kept[dict[str, str]] = Kept(load, _certificates, clock)

    def check(self, token: str) -> None:
        """Let the token pass if Google made it, for us, in the name of our service account.

        Raises:
            Refused: 401 or 403; 503 if Google's certificates are out of reach.
        """
        certificates = self._certificates.get(GOOGLE_CERTIFICATES)
        if _key_id(token) not in certificates:
            certificates = self._certificates.get(GOOGLE_CERTIFICATES, younger_than=_ASK_AGAIN)
        try:
            claims = google_jwt.decode(token, certificates, audience=self._audience, clock_skew_in_seconds=_LEEWAY_S)
        except (ValueError, google.auth.exceptions.GoogleAuthError):
            raise Refused(
                401, "token_wrong", "the token is not Google's, has ended, or is for another audience"
            ) from None
        if claims.get("iss") not in _GOOGLE_ISSUERS:
            raise Refused(401, "token_wrong", "the token is not Google's")
        if claims.get("email") != self._account or claims.get("email_verified") is not True:
            raise Refused(403, "account_wrong", "the token is of another service account")


class EntraTokens:
    """Checks tokens of one Entra tenant, which Event Grid comes with."""

    def __init__(self, tenant: str, audience: str, load: Fetch, clock: Callable[[], datetime]) -> None:
        self._tenant = tenant.lower()
        self._audience = audience
        self._url = f"https://login.microsoftonline.com/{self._tenant}/discovery/v2.0/keys"
        self._keys: Kept[dict[str, Any]] = Kept(load, _keys, clock)

    def check(self, token: str) -> None:
        """Let the token pass if our tenant made it, for us, for Event Grid.

        Raises:
            Refused: 401 or 403; 503 if the tenant's keys are out of reach.
        """
        key_id = _key_id(token)
        key = self._keys.get(self._url).get(key_id) or self._keys.get(self._url, younger_than=_ASK_AGAIN).get(key_id)
        issuers = [
            f"https://sts.windows.net/{self._tenant}/",
            f"https://login.microsoftonline.com/{self._tenant}/v2.0",
        ]
        try:
            if key is None:
                raise jwt.InvalidKeyError
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=issuers,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError:
            raise Refused(
                401, "token_wrong", "the token is not the tenant's, has ended, or is for somebody else"
            ) from None
        if EVENT_GRID not in (claims.get("appid"), claims.get("azp")):
            raise Refused(403, "account_wrong", "the token is not Event Grid's")


def _key_id(token: str) -> str:
    try:
        return str(jwt.get_unverified_header(token).get("kid", ""))
    except jwt.PyJWTError:
        raise Refused(401, "token_wrong", "the token cannot be read") from None


def _certificates(document: bytes) -> dict[str, str]:
    found = json.loads(document)
    if not isinstance(found, dict):
        raise ValueError("no certificates")
    return {str(name): str(text) for name, text in found.items()}


def _keys(document: bytes) -> dict[str, Any]:
    found = json.loads(document)
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ValueError("no keys")
    try:
        return {key["kid"]: jwt.PyJWK(key, "RS256").key for key in found["keys"] if key.get("kty") == "RSA"}
    except (jwt.PyJWTError, KeyError, AttributeError):
        raise ValueError("no keys") from None
