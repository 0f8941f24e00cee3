"""Asks the official `roboflow` SDK about models, in a process of its own.

Run as ``python -m tasks.inference.roboflow_sdk``: a JSON object with ``api_key`` and ``models``
(pairs of project and version) on stdin, one JSON object on stdout. A process of its own because
importing the SDK fixes its address (``API_URL``) for good, loads a ``.env`` file, replaces
``warnings.formatwarning``, and because its requests have no timeout: a process can be ended.

The answer is ``{"models": [{"type", "multilabel", "classes", "versions", "trained"}, ...]}``, or
``{"fault": kind, "words": text}`` with kind ``refused`` (plus ``status``, ``retry_after``),
``unreachable`` or ``unreadable``, and ``model`` if it was about one.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

from tasks.domain.wording import innermost_reason

REQUEST_TIMEOUT_S = 30


class Refused(Exception):
    """The service answered with a status other than 200; the SDK would keep only the text."""

    def __init__(self, response: Any) -> None:
        super().__init__(response.text)
        self.status = int(response.status_code)
        self.retry_after = response.headers.get("Retry-After")


def look_up(api_key: str, models: list[list[str]]) -> dict[str, Any]:
    """Ask for each model; see the module's docstring for what comes back."""
    import roboflow
    from roboflow.util import http

    http.get, http.post = _strict(http.get), _strict(http.post)
    asked = ""
    try:
        account = roboflow.Roboflow(api_key=api_key)
        found = []
        for project, version in models:
            asked = f"{project}/{version}"
            found.append(_describe(account.project(project), version))
    except Refused as refused:
        fault = {"fault": "refused", "status": refused.status, "retry_after": refused.retry_after}
        return {**fault, "words": str(refused), "model": asked}
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # not JSON, or not of the SDK's liking
        return {"fault": "unreadable", "words": f"{type(error).__name__}: {error}", "model": asked}
    except OSError as error:  # every exception of `requests` is one
        return {"fault": "unreachable", "words": innermost_reason(error), "model": asked}
    return {"models": found}


def _describe(project: Any, version: str) -> dict[str, Any]:
    """Gather what matters of a project and one of its versions."""
    versions = {str(entry["id"]).rpartition("/")[2]: entry for entry in project.get_version_information()}
    return {
        "type": project.type,
        "multilabel": bool(project.multilabel),
        "classes": [str(name) for name in project.classes],
        "versions": list(versions),
        "trained": version in versions and (bool(versions[version].get("model")) or _has_models(project, version)),
    }


def _has_models(project: Any, version: str) -> bool:
    """Ask for a version's models where its entry names none: newer versions may own several."""
    try:
        return bool(project.version(version).models())
    except Refused as refused:
        if refused.status == 404:
            return False
        raise


def _strict(send: Callable[..., Any]) -> Callable[..., Any]:
    """Give a request of the SDK a timeout, and raise for any status but 200 before the SDK blurs it."""

    def sent(url: str, **kwargs: Any) -> Any:
        response = send(url, timeout=REQUEST_TIMEOUT_S, **kwargs)
        if response.status_code != 200:
            raise Refused(response)
        return response

    return sent


def main() -> None:
    """Read the question, answer it, keep the SDK's own prints off stdout."""
    question = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        answer = look_up(question["api_key"], question["models"])
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
