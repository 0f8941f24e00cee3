"""Checks GOOG4-RSA-SHA256 query signatures, which the emulator behind the gate takes on trust.

Canonical request: https://cloud.google.com/storage/docs/authentication/canonical-requests
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from tests.emulators.proxy import Answer, Request

LONGEST = timedelta(days=7)


def refusal(request: Request, key: RSAPublicKey, now: datetime) -> Answer | None:
    """What Cloud Storage would answer to a request with this signature; None lets it through."""
    arguments = request.arguments
    try:
        made = datetime.strptime(arguments["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        lifetime = timedelta(seconds=int(arguments["X-Goog-Expires"]))
        signature = bytes.fromhex(arguments["X-Goog-Signature"])
        signed_headers = arguments["X-Goog-SignedHeaders"].split(";")
    except (KeyError, ValueError):
        return _error(400, "AuthenticationRequired", "The signature's parameters cannot be read.")
    if not timedelta(0) < lifetime <= LONGEST:
        return _error(400, "InvalidArgument", "X-Goog-Expires must be between 1 and 604800.")
    if arguments.get("X-Goog-Algorithm") != "GOOG4-RSA-SHA256" or "host" not in signed_headers:
        return _error(403, "SignatureDoesNotMatch", "The algorithm or the signed headers are wrong.")
    scope = f"{made:%Y%m%d}/auto/storage/goog4_request"
    if not arguments.get("X-Goog-Credential", "").endswith(f"/{scope}"):
        return _error(403, "SignatureDoesNotMatch", "The credential's scope is wrong.")
    canonical = _canonical(request, arguments, signed_headers)
    text = f"GOOG4-RSA-SHA256\n{arguments['X-Goog-Date']}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
    try:
        key.verify(signature, text.encode(), PKCS1v15(), SHA256())
    except InvalidSignature:
        return _error(403, "SignatureDoesNotMatch", "The signature does not match.")
    if now > made + lifetime:
        return _error(400, "ExpiredToken", "The provided token has expired.")
    return None


def _canonical(request: Request, arguments: dict[str, str], signed_headers: list[str]) -> bytes:
    query = "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}"
        for name, value in sorted(arguments.items())
        if name != "X-Goog-Signature"
    )
    headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in signed_headers)
    parts = [request.method, request.path, query, headers, ";".join(signed_headers), "UNSIGNED-PAYLOAD"]
    return "\n".join(parts).encode()


def _error(status: int, code: str, message: str) -> Answer:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})
