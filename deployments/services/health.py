"""``/healthz``: a restart would help; ``/readyz``: what this service needs, and whether that is there.

Both answer anybody, because load balancers and kubelets hold no key: they tell names of
dependencies and codes of errors, while what happened goes to the log, once per change.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.services.probe import FRESH_FOR, Probe
from tasks.domain.errors import ReelrouteError

_log = logging.getLogger("reelroute.health")
# Less than the timeout of the checks that we ship (5 s), however many dependencies hang.
ANSWER_WITHIN = timedelta(seconds=3)

Check = Callable[[], object]


class Health:
    """Whether a service works, and whether what it depends on does.

    Attributes:
        is_alive: Says whether the process does its work; False asks for a restart.
        facts: Numbers to tell with ``/healthz``.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        is_alive: Callable[[], bool] = lambda: True,
        facts: Mapping[str, Any] | None = None,
        fresh_for: timedelta = FRESH_FOR,
    ) -> None:
        """Each check tries a dependency, may block, and raises a ReelrouteError if it is not to be had."""
        self.is_alive = is_alive
        self.facts = dict(facts or {})
        self._probes = {name: Probe(check, fresh_for=fresh_for) for name, check in checks.items()}
        self._down: dict[str, str] = {}

    def look(self) -> dict[str, str]:
        """Every dependency's state: ``ok``, or the code of what is wrong; all within one short time."""
        until = time.monotonic() + ANSWER_WITHIN.total_seconds()
        for probe in self._probes.values():
            probe.begin()
        return {name: self._state(name, probe, until) for name, probe in self._probes.items()}

    def _state(self, name: str, probe: Probe[object], until: float) -> str:
        try:
            probe.answer(timedelta(seconds=until - time.monotonic()))
        except ReelrouteError as error:
            if self._down.get(name) != error.code:
                _log.warning("%s is not ready (%s): %s", name, error.code, error.message)
            self._down[name] = error.code
            return error.code
        if self._down.pop(name, ""):
            _log.warning("%s is ready again", name)
        return "ok"


def add_health(app: FastAPI, health: Health) -> None:
    """Answer ``GET`` and ``HEAD`` of ``/healthz`` and ``/readyz``; add it before routes that match everything."""

    def healthz(_: Request) -> JSONResponse:
        status, code = ("ok", 200) if health.is_alive() else ("degraded", 503)
        return JSONResponse({"status": status, **health.facts}, code)

    def readyz(_: Request) -> JSONResponse:
        checks = health.look()
        if not health.is_alive():
            checks["self"] = "degraded"
        ready = all(state == "ok" for state in checks.values())
        return JSONResponse({"status": "ready" if ready else "not ready", "checks": checks}, 200 if ready else 503)

    app.add_api_route("/healthz", healthz, methods=["GET", "HEAD"])
    app.add_api_route("/readyz", readyz, methods=["GET", "HEAD"])
