"""LightlyOne's API, as far as scheduling a selection run takes: three requests over plain HTTP.

The paths and bodies are those of Lightly's own Python client 1.5.26, which is discontinued. The
token travels in the query of each URL, so no URL and nothing that the server says about one is
ever shown.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import stamina

from tasks.domain.errors import (
    AuthRefused,
    PlanRefused,
    RateLimited,
    ReelrouteError,
    RequestRefused,
    Retryable,
    ServiceUnavailable,
)
from tasks.domain.redaction import HIDDEN, RedactingFilter, redact
from tasks.domain.video import printable

_TIMEOUT_S = 30.0
_ATTEMPTS = 4
_SHOWN = 200  # characters of the server's own words

# One instance: adding it again adds nothing.
_REDACTING = RedactingFilter()

# Status -> what it means here, and what to do about it.
_MEANINGS: dict[int, tuple[type[ReelrouteError], str]] = {
    400: (RequestRefused, "check `selection_run`: keys are spelled as LightlyOne's API has them, such as nSamples"),
    401: (AuthRefused, "check LIGHTLY_TOKEN"),
    402: (PlanRefused, "LightlyOne's plan of this account does not include it"),
    403: (AuthRefused, "check LIGHTLY_TOKEN: it must belong to somebody who may use the dataset"),
    404: (RequestRefused, "check `selection_run.dataset_id`, and LIGHTLY_SERVER_LOCATION"),
    422: (RequestRefused, "LightlyOne misses something in the dataset's datasources: look at its configuration there"),
    429: (RateLimited, "try again later"),
}


class LightlyApi:
    """LightlyOne for the owner of a token.

    Args:
        url: ``https://api.lightly.ai``, without a slash at its end.
        token: Never shown.
        client: Sends the requests; closed with this object.
    """

    def __init__(self, url: str, token: str, *, client: httpx.Client | None = None) -> None:
        for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection"):
            logging.getLogger(name).addFilter(_REDACTING)
        self._url = url
        self._token = token
        self._client = client or httpx.Client(timeout=_TIMEOUT_S)

    def __repr__(self) -> str:
        return f"LightlyApi({self._url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def dataset_name(self, dataset_id: str) -> str:
        """What a dataset is called.

        Raises:
            AuthRefused, PlanRefused, RequestRefused, RateLimited, ServiceUnavailable: By what the
                server says, or because it does not.
        """
        found = self._patiently("GET", f"/v1/datasets/{dataset_id}", None)
        return printable(str(found.get("name", dataset_id)))

    def schedule(
        self,
        dataset_id: str,
        *,
        selection: Mapping[str, Any],
        worker: Mapping[str, Any],
        runs_on: Sequence[str],
        priority: str,
    ) -> str:
        """Schedule a run over a dataset; return the id of what was scheduled.

        Raises:
            ServiceUnavailable: The server could not be reached; or it took the request and gave no
                answer, so that a run may have been scheduled.
            AuthRefused, PlanRefused, RequestRefused, RateLimited: By what the server says.
        """
        config = {"workerType": "FULL", "docker": dict(worker), "selection": dict(selection)}
        created = self._patiently(
            "POST", "/v1/docker/worker/config/vX", {"version": "V4", "creator": "USER_PIP", "config": config}
        )
        order = {
            "configId": _id_in(created),
            "priority": priority.upper(),
            "runsOn": list(runs_on),
            "creator": "USER_PIP",
        }
        try:
            # Once only: what is asked for again after a lost answer would select twice.
            return _id_in(self._ask("POST", f"/v1/datasets/{dataset_id}/docker/worker/schedule", order))
        except ServiceUnavailable as error:
            raise ServiceUnavailable(
                f"{error.message}; whether the run was scheduled is not known",
                hint="look at the dataset's runs in LightlyOne before you schedule one by hand",
            ) from None

    def _patiently(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        return stamina.retry(on=Retryable, attempts=_ATTEMPTS)(self._ask)(method, path, body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            answer = self._client.request(
                method, f"{self._url}{path}", params={"token": self._token}, json=body, timeout=_TIMEOUT_S
            )
        except httpx.HTTPError as error:
            raise ServiceUnavailable(
                f"LightlyOne at {self._url} does not answer ({type(error).__name__})",
                hint="check LIGHTLY_SERVER_LOCATION and the network",
            ) from None
        if not answer.is_success:
            raise self._refusal(answer)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise RequestRefused(
                f"{self._url} does not answer as LightlyOne's API does", hint="check LIGHTLY_SERVER_LOCATION"
            )
        return found

    def _refusal(self, answer: httpx.Response) -> ReelrouteError:
        status = answer.status_code
        if status >= 500 or status == 408:
            return ServiceUnavailable(f"LightlyOne answers {status}")
        kind, hint = _MEANINGS.get(status, (RequestRefused, "check LIGHTLY_SERVER_LOCATION"))
        said = redact(answer.text.replace(self._token, HIDDEN))
        said = printable(" ".join(said.split()))[:_SHOWN]
        return kind(f"LightlyOne refuses ({status}){': ' if said else ''}{said}", hint=hint)


def _id_in(answer: Mapping[str, Any]) -> str:
    found = answer.get("id")
    if not isinstance(found, str) or not found:
        raise RequestRefused("LightlyOne's answer names no id", hint="check LIGHTLY_SERVER_LOCATION")
    return printable(found)
