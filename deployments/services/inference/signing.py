"""Expiring URLs of our own, signed with HMAC-SHA256 in the query form that Google Cloud Storage uses.

The form matters: the official SDK reads the lifetime of an upload URL by splitting it at
``&X-Goog-Expires``, so that parameter must be there and must not come first.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from tasks.domain.errors import AccessDenied

_ALGORITHM = "REELROUTE-HMAC-SHA256"
_DATE = "%Y%m%dT%H%M%SZ"


class UrlSigner:
    """Signs and checks paths of this service; every holder of the API key gets the same answers."""

    def __init__(self, api_key: str) -> None:
        # A key of its own, so that no other use of the API key can make these signatures.
        self._secret = hmac.digest(api_key.encode(), b"reelroute inference service URLs", hashlib.sha256)

    def sign(self, path: str, lifetime: timedelta, now: datetime) -> str:
        """Return ``path`` with a query that proves we gave it out, until ``now + lifetime``.

        Args:
            path: Absolute, of characters that need no quoting.
        """
        date = now.astimezone(UTC).strftime(_DATE)
        expires = str(int(lifetime.total_seconds()))
        signature = self._signature(path, date, expires)
        return (
            f"{path}?X-Goog-Algorithm={_ALGORITHM}&X-Goog-Date={date}"
            f"&X-Goog-Expires={expires}&X-Goog-Signature={signature}"
        )

    def expiry(self, path: str, query: Mapping[str, str]) -> datetime:
        """When a URL that we signed stops working.

        Raises:
            AccessDenied: We did not sign this.
        """
        date, expires = query.get("X-Goog-Date", ""), query.get("X-Goog-Expires", "")
        given = query.get("X-Goog-Signature", "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, self._signature(path, date, expires).encode()):
            raise AccessDenied("the URL's signature is not ours", hint="use the URL exactly as it was given out")
        signed_at = datetime.strptime(date, _DATE).replace(tzinfo=UTC)
        return signed_at + timedelta(seconds=int(expires))

    def check(self, path: str, query: Mapping[str, str], now: datetime) -> None:
        """Accept a URL that we signed and that has not expired.

        Raises:
            AccessDenied: We did not sign this, or its time is over.
        """
        if now >= self.expiry(path, query):
            raise AccessDenied("the URL has expired", hint="ask for a fresh one")

    def _signature(self, path: str, date: str, expires: str) -> str:
        message = "\n".join((_ALGORITHM, path, date, expires)).encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()
