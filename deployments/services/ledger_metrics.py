"""What the ledger holds, as Prometheus metrics: the answer to "is last night done, and is anything stuck?"."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import FastAPI
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse

from deployments.services.exposure import require_key
from deployments.services.health import Health, add_health
from deployments.services.metrics import Metrics, add_metrics
from deployments.services.probe import Probe
from deployments.services.refusals import add_slow_refusals, note_refusal
from tasks.domain.errors import AuthRefused, ReelrouteError
from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.base import Ledger
from tasks.ledger.open import open_ledger

# Scrapes come more often than the counts of a large ledger are worth.
FRESH_FOR = timedelta(seconds=15)
# Prometheus gives a scrape 10 seconds.
ANSWER_WITHIN = timedelta(seconds=5)


def create_app(ledger_url: str, key: str) -> FastAPI:
    """``/metrics``, ``/healthz`` and ``/readyz`` of a ledger, for ``reelroute serve metrics``.

    Args:
        ledger_url: A ledger that may not exist yet; it is not made.
        key: Who scrapes must send it; "" lets everybody scrape who can reach the service.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    watch = LedgerWatch(lambda: open_ledger(ledger_url, create=False))
    add_health(app, Health({"ledger": watch.check}))
    add_metrics(app, Metrics(watch), (lambda request: require_key(request, key)) if key else None)
    app.add_exception_handler(AuthRefused, _refuse)
    add_slow_refusals(app)
    return app


def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AuthRefused)  # noqa: S101 (registered for these only)
    note_refusal(request, error.message)
    return JSONResponse({"error": error.code, "message": error.message, "hint": error.hint}, 401)


def utc_now() -> datetime:
    """The time, timezone-aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """What one look at a ledger found."""

    jobs: dict[JobState, int]
    deliveries: dict[str, dict[DeliveryState, int]]
    oldest: datetime | None


class LedgerWatch(Collector):
    """Looks into a ledger for ``/metrics`` and ``/readyz``, and never hangs where the ledger does.

    It is opened when it is first looked at, so that a service starts while its database is away.
    """

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        *,
        clock: Callable[[], datetime] = utc_now,
        fresh_for: timedelta = FRESH_FOR,
    ) -> None:
        self._open = open_ledger
        self._clock = clock
        self._ledger: Ledger | None = None
        self._closing = threading.Lock()
        self._probe = Probe(self._look, fresh_for=fresh_for)

    def check(self) -> None:
        """Try the ledger, for ``/readyz``.

        Raises:
            ReelrouteError: It cannot be reached, opened or used.
        """
        self._probe.answer(ANSWER_WITHIN)

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not look into the ledger."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The counts, and whether there are any: without an answer only ``reelroute_ledger_up`` is told, as 0."""
        up = GaugeMetricFamily("reelroute_ledger_up", "Whether the ledger answers.")
        try:
            counts = self._probe.answer(ANSWER_WITHIN)
        except ReelrouteError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        jobs = GaugeMetricFamily("reelroute_jobs", "Jobs in the ledger by state.", labels=["state"])
        for state, number in counts.jobs.items():
            jobs.add_metric([state.value], number)
        yield jobs
        deliveries = GaugeMetricFamily(
            "reelroute_deliveries", "Deliveries in the ledger by route and state.", labels=["route", "state"]
        )
        for route, numbers in counts.deliveries.items():
            for end, number in numbers.items():
                deliveries.add_metric([route, end.value], number)
        yield deliveries
        age = (self._clock() - counts.oldest).total_seconds() if counts.oldest else 0.0
        yield GaugeMetricFamily(
            "reelroute_oldest_in_flight_seconds",
            "How long ago the oldest job that is still at a service was submitted; 0 if there is none.",
            value=max(0.0, age),
        )

    def close(self) -> None:
        """Close the ledger if it was opened."""
        with self._closing:
            ledger, self._ledger = self._ledger, None
        if ledger is not None:
            ledger.close()

    def _look(self) -> LedgerCounts:
        with self._closing:
            ledger = self._ledger
        if ledger is None:
            ledger = self._open()
            with self._closing:
                self._ledger = ledger
        jobs, deliveries = ledger.counts()
        return LedgerCounts(jobs, deliveries, ledger.oldest_in_flight())
