"""The official `labelbox` SDK, made safe to repeat; the only module that imports it.

The SDK tries any request again after a timeout or a 5xx, so that an answer that was lost makes two
datasets; it does not try again after 429 or a reset, ignores Retry-After, and hides in its own
messages which of them it was. So each request is sent once here, what came back is noted below the
SDK, and errors become ours: a look-up is repeated while its trouble may pass, what creates
something is not, and says so (:class:`AnswerLost`).
"""

from __future__ import annotations

import json
import logging
import re
import threading
import warnings
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import labelbox
import requests
from google.api_core.exceptions import RetryError
from labelbox import Dataset, LabelImport, MALPredictionImport, MEAPredictionImport, MediaType, Model, Project, Task
from lbox import exceptions as lbox
from lbox.request_client import RequestClient
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from tasks.domain.errors import (
    AccessDenied,
    AuthRefused,
    RateLimited,
    ReelrouteError,
    RequestRefused,
    ServiceUnavailable,
)
from tasks.domain.redaction import redact
from tasks.domain.video import printable
from tasks.domain.wording import innermost_reason
from tasks.sinks.labelbox.patience import AnswerLost, NotThere, Patience, Taken

__all__ = [
    "Client",
    "Dataset",
    "LabelImport",
    "MALPredictionImport",
    "MEAPredictionImport",
    "MediaType",
    "Model",
    "Project",
    "Task",
    "seconds",
    "shown",
]

CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 10.0, 60.0
LONGEST_WORDS = 300
KEY_HINT = "check LABELBOX_API_KEY: it must be a key of the workspace, with the right to write"

# Doing these twice is doing them once.
_REPEATABLE = re.compile(
    r"\s*(query|mutation\s+(UploadFile|UpsertDataRows|[sS]etSignerForDataset|createMEAModelRun|DeleteModelRunDataRows"
    r"|ConnectOntology|ConnectProjectAndLabelingFrontend|UpdateProject))"
)
# The SDK's request without the SDK's own retries around it.
_send_once = RequestClient.execute.__wrapped__

warnings.filterwarnings("ignore", message="Connecting default labeling editor")
for _name in ("labelbox", "lbox"):  # what matters of their messages is in our errors
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class _Noted(threading.local):
    """What came back last, in this thread."""

    status: int = 0
    retry_after_s: float | None = None


class _Adapter(HTTPAdapter):
    """Sends as usual, never for longer than a timeout, and notes the answer's status."""

    def __init__(self, noted: _Noted) -> None:
        super().__init__()
        self._noted = noted

    def send(self, request: requests.PreparedRequest, *args: Any, **how: Any) -> requests.Response:
        self._noted.status, self._noted.retry_after_s = 0, None
        answer_s = how.get("timeout") or ANSWER_TIMEOUT_S
        answer = super().send(request, *args, **{**how, "timeout": (CONNECT_TIMEOUT_S, answer_s)})
        self._noted.status = answer.status_code
        self._noted.retry_after_s = seconds(answer.headers.get("Retry-After"))
        return answer


class Client(labelbox.Client):  # type: ignore[misc]
    """The SDK's client with our retries and our errors; every call of the SDK's goes through it.

    Args:
        api_key: A workspace's key.
        endpoint: GraphQL address, which ends in ``/graphql``.
        rest_endpoint: REST address.
    """

    def __init__(self, api_key: str, endpoint: str, rest_endpoint: str, patience: Patience) -> None:
        super().__init__(api_key=api_key, endpoint=endpoint, rest_endpoint=rest_endpoint)
        self._noted, self._patience = _Noted(), patience
        self._host = urlsplit(endpoint).netloc
        for scheme in ("https://", "http://"):
            self.connection.mount(scheme, _Adapter(self._noted))

    def execute(self, query: str | None = None, params: Any = None, **how: Any) -> Any:
        """Send one request; see the SDK. Look-ups are repeated while trouble may pass.

        Raises:
            AnswerLost: It would create something and may have been done.
            RateLimited, ServiceUnavailable, AuthRefused, AccessDenied, NotThere, Taken,
            RequestRefused: As Labelbox says.
        """
        how["raise_return_resource_not_found"] = True
        # For a header, the SDK else walks the whole stack: 20 ms for each request.
        self.set_sdk_method("reelroute")
        text = query if query is not None else json.loads(how["data"]["operations"])["query"]
        repeatable = _REPEATABLE.match(text) is not None

        def once() -> Any:
            try:
                return _send_once(self._request_client, query, params, **how)
            except _VENDOR as error:
                raise self._ours(error, repeatable=repeatable) from None

        return self._patience.again(once, unless=AnswerLost)

    def rest(self, call: Any, *arguments: Any, repeatable: bool = True) -> Any:
        """Call a function of the SDK that speaks REST, which :meth:`execute` does not see."""

        def once() -> Any:
            try:
                return call(*arguments)
            except (*_VENDOR, ValueError, KeyError) as error:  # an error body that is not as the SDK expects
                raise self._ours(error, repeatable=repeatable) from None

        return self._patience.again(once, unless=AnswerLost)

    def _ours(self, error: Exception, *, repeatable: bool) -> ReelrouteError:
        """Say in our words what the SDK's exception, and the answer that it was made of, mean."""
        status, words, place = self._noted.status, _words(error), f"Labelbox at {self._host}"
        if status == 429:
            return RateLimited(f"{place} asked us to slow down (429)", retry_after_s=self._noted.retry_after_s)
        if isinstance(error, lbox.AuthenticationError) or status == 401:
            return AuthRefused(f"{place} does not accept the key", hint=KEY_HINT)
        if isinstance(error, lbox.AuthorizationError) or status == 403:
            return AccessDenied(f"{place} does not allow this: {words}", hint=KEY_HINT)
        if kind := next((ours for theirs, ours in _ANSWERS if isinstance(error, theirs)), None):
            return kind(f"{place}: {words}")
        if 400 <= status < 500 and not isinstance(error, lbox.ApiLimitError):
            return (NotThere if status == 404 else RequestRefused)(f"{place} refuses ({status}): {words}")
        if isinstance(error, lbox.ApiLimitError):
            return RateLimited(f"{place} asked us to slow down", retry_after_s=self._noted.retry_after_s)
        if never_sent(error):
            return ServiceUnavailable(f"{place} cannot be reached", hint="check LABELBOX_ENDPOINT and the network")
        what = f"{place} answered {status}" if status >= 500 else f"{place} failed: {words}"
        trouble = ServiceUnavailable if repeatable else AnswerLost
        return trouble(what, retry_after_s=self._noted.retry_after_s)


_VENDOR = (
    lbox.LabelboxError,
    lbox.MalformedQueryException,
    lbox.OperationNotAllowedException,
    lbox.InconsistentOntologyException,
    RetryError,
    requests.RequestException,
)
_ANSWERS: tuple[tuple[type[Exception], type[RequestRefused]], ...] = (
    (lbox.ResourceNotFoundError, NotThere),
    (lbox.ResourceConflict, Taken),
    (lbox.MalformedQueryException, RequestRefused),
    (lbox.InvalidQueryError, RequestRefused),
    (lbox.UnprocessableEntityError, RequestRefused),
    (lbox.ValidationFailedError, RequestRefused),
    (lbox.OperationNotAllowedException, RequestRefused),
    (lbox.InconsistentOntologyException, RequestRefused),
)


def never_sent(error: BaseException | None) -> bool:
    """Say whether the connection was never made, so that nothing can have been done."""
    while error is not None:
        reason = error.args[0] if error.args else None
        reason = getattr(reason, "reason", reason)
        if isinstance(reason, NewConnectionError | NameResolutionError | ConnectTimeoutError):
            return True
        if isinstance(error, requests.ConnectTimeout):
            return True
        cause = getattr(error, "cause", None)  # what the SDK's NetworkError wraps
        error = cause if isinstance(cause, BaseException) else None
    return False


def seconds(header: str | None) -> float | None:
    """Read a Retry-After: seconds, or a date."""
    try:
        return max(float(header), 0.0) if header else None
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(header or "") - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _words(error: Exception) -> str:
    """What the service says, or why the connection was lost, cut short and without secrets."""
    lost = getattr(error, "cause", None) or error.__context__ or error
    if isinstance(lost, requests.RequestException):
        return shown(innermost_reason(lost))
    text = getattr(error, "message", None) or str(error)
    return shown(str(text))


def shown(text: str) -> str:
    """Words of Labelbox' that may be shown: one line, not long, without secrets."""
    text = " ".join(redact(printable(text.replace("\n", " "))).split())
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…"
