"""What the inference service tells Prometheus about its jobs, besides what HTTP does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from deployments.services.inference.jobs import JobStore
from deployments.services.inference.pool import WorkerPool


class JobMetrics(Collector):
    """Reads the queue and the workers at every scrape."""

    def __init__(self, store: JobStore, pool: WorkerPool, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._pool = pool
        self._clock = clock

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not read the queue."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Jobs that are open and that ended, the oldest, and what became of workers."""
        backlog = self._store.backlog()
        age = (self._clock() - backlog.oldest).total_seconds() if backlog.oldest else 0.0
        yield _gauge("jobs_open", "Jobs of the state folder that wait or run.", backlog.jobs)
        yield _gauge("jobs_running", "Jobs that this process runs.", self._pool.busy)
        yield _gauge("oldest_job_seconds", "Age of the oldest job that is open; 0 if none is.", max(0.0, age))
        yield _gauge("workers", "Jobs that this process can run at once.", self._pool.size)
        ended = CounterMetricFamily(
            "reelroute_inference_jobs_ended",
            "Jobs that this process ended: `succeeded`, or the code of the failure.",
            labels=["outcome"],
        )
        for outcome, number in dict(self._pool.ended).items():
            ended.add_metric([outcome], number)
        yield ended
        yield CounterMetricFamily(
            "reelroute_inference_worker_crashes", "Worker processes that died of a job.", value=self._pool.crashes
        )


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"reelroute_inference_{name}", meaning, value=value)
