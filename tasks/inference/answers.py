"""How a video inference service's answers read: its JSON, its refusals, its requested waits.

Translates HTTP into the errors of :mod:`tasks.domain.errors`. Nothing here sends anything.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import stamina
from pydantic import SecretStr

from tasks.domain.errors import (
    AuthRefused,
    InputInvalid,
    NotTheService,
    PlanRefused,
    RateLimited,
    ReelrouteError,
    RequestRefused,
    ServiceUnavailable,
)
from tasks.domain.redaction import HIDDEN, redact
from tasks.domain.video import printable

LONGEST_WORDS = 300
LONGEST_WAIT_S = 30.0
_EXPLAINS = ("message", "error", "detail")

# httpx raises these before the first byte of the request is on its way. Every other transport
# error may come after the service has read the request and acted on it.
NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end or to where it broke off.

    Attributes:
        status: HTTP status.
        headers: Of the answer.
        body: The first megabyte of it; None when it broke off.
    """

    status: int
    headers: httpx.Headers
    body: bytes | None

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object, or None if it is anything else."""
        try:
            value = json.loads(self.body or b"")
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def is_own(self) -> bool:
        """Whether an error is told as the service tells its own: a JSON object that explains itself."""
        value = self.json_object() or {}
        return any(value.get(name) for name in _EXPLAINS)

    def words(self) -> str:
        """What the service says about itself, or "" where it says nothing that a person can use."""
        if (value := self.json_object()) is not None:
            return spoken(value)
        text = (self.body or b"").decode("utf-8", "replace").strip()
        return "" if text.startswith(("<", "{", "[")) else text


def spoken(value: dict[str, Any]) -> str:
    """The service's own explanation in a JSON object, or ""."""
    for name in _EXPLAINS:
        said = value.get(name)
        if isinstance(said, dict):
            said = said.get("message")
        if isinstance(said, str) and said.strip():
            return said
    return ""


def usable_url(value: object) -> str:
    """``value`` if it is a web address that can be requested as it stands, else ""."""
    if not isinstance(value, str):
        return ""
    try:
        parts, url = urlsplit(value), httpx.URL(value)
    except (ValueError, httpx.InvalidURL):
        return ""
    return value if parts.scheme in ("http", "https") and url.host else ""


def checked_base_url(text: str) -> str:
    """The service's address without a trailing slash; a path prefix is kept.

    Raises:
        InputInvalid: It is not a web address alone.
    """
    address = usable_url(text.strip())
    parts = urlsplit(address)
    if not address or parts.query or parts.fragment or "@" in parts.netloc:
        raise InputInvalid(
            "the address of the inference service is not a plain http(s) URL",
            hint="ROBOFLOW_API_URL should look like https://api.roboflow.com, without key, user or query",
        )
    return address.rstrip("/")


class Discretion:
    """Makes the service's words fit to show: no key, no query strings, one short printable line."""

    def __init__(self, api_key: SecretStr) -> None:
        self._api_key = api_key

    def __call__(self, text: str) -> str:
        """``text`` without secrets, shortened."""
        shown = printable(redact(text.replace(self._api_key.get_secret_value(), HIDDEN)).strip())
        return shown if len(shown) <= LONGEST_WORDS else f"{shown[:LONGEST_WORDS]}…"


def refusal(
    what: str, status: int, words: str, wait_s: float | None, *, missing: type[ReelrouteError] = RequestRefused
) -> ReelrouteError:
    """Make the error that an HTTP status other than success stands for.

    Args:
        what: What was being done, such as "asking for job 12".
        words: The service's explanation, already fit to show.
        wait_s: Seconds that it asks us to wait.
        missing: What a 404 or 410 means here.
    """
    message = f"{what}: the service answered {status}" + (f" ({words})" if words else "")
    if status in (401, 403):
        return AuthRefused(message)
    if status in (402, 423):
        return PlanRefused(message)
    if status == 429:
        return RateLimited(message, retry_after_s=wait_s)
    if status in (408, 425) or status >= 500:
        return ServiceUnavailable(message, retry_after_s=wait_s)
    if status in (404, 410):
        return missing(message)
    if status < 400:
        return RequestRefused(message, hint="is the service's address right? set ROBOFLOW_API_URL to where it ends up")
    return RequestRefused(message)


def transport_fault(
    what: str, error: httpx.RequestError, show: Discretion, *, lost: type[ReelrouteError] = ServiceUnavailable
) -> ReelrouteError:
    """Translate an error of the connection.

    Raise it outside the ``except`` block: httpx's errors hold the request with its URL.

    Args:
        lost: What it means when the request may have reached the service and its answer is lost;
            a request that was never sent is always ``ServiceUnavailable``.
    """
    message = f"{what}: {type(error).__name__}: {show(str(error)) or 'no reason given'}"
    return ServiceUnavailable(message) if isinstance(error, NEVER_SENT) else lost(message)


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a ``Retry-After`` header: a number or an HTTP date (RFC 9110, 10.2.3).

    None when the header is absent or makes no sense; a date in the past is 0.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
        return max(0.0, seconds)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _worth_a_wait(error: Exception) -> bool | float:
    """Say whether to try again: False, True (exponential wait) or the seconds asked for."""
    if not isinstance(error, RateLimited | ServiceUnavailable) or isinstance(error, NotTheService):
        return False
    if error.retry_after_s is None:
        return isinstance(error, ServiceUnavailable)
    return error.retry_after_s if error.retry_after_s <= LONGEST_WAIT_S else False


# Runs a step that may safely be repeated up to three times, waiting as the service asks. A wait of
# more than LONGEST_WAIT_S, and a 429 that names no wait, are the caller's to plan: raised at once.
patiently = stamina.AsyncRetryingCaller(
    attempts=3, timeout=2 * LONGEST_WAIT_S, wait_initial=0.5, wait_max=5.0, wait_jitter=0.5
).on(_worth_a_wait)
