"""What the service counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge


class Meters:
    """Counters of one service; the registry is what all services share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "reelroute_upload_events", "Upload events by outcome.", ["via", "outcome"], registry=registry
        )
        self._refused = Counter(
            "reelroute_upload_messages_refused",
            "Messages that were not taken.",
            ["via", "code"],
            registry=registry,
        )
        self._drains = Counter(
            "reelroute_upload_batches", "Batches by what was done.", ["pipeline", "outcome"], registry=registry
        )
        self._inbox = Gauge(
            "reelroute_inbox_uploads", "Uploads not seen to yet.", ["pipeline", "state"], registry=registry
        )
        self._oldest = Gauge(
            "reelroute_inbox_oldest_seconds", "Age of the oldest upload not seen to yet.", registry=registry
        )

    def count_events(self, via: str, outcomes: Mapping[str, int]) -> None:
        """Add events that a message told of."""
        for outcome, count in outcomes.items():
            self._events.labels(via, outcome).inc(count)

    def count_refused(self, via: str, code: str) -> None:
        """Add a message that was not taken."""
        self._refused.labels(via, code).inc()

    def count_batch(self, pipeline: str, outcome: str) -> None:
        """Add a batch that was started, given back, or could not be started."""
        self._drains.labels(pipeline, outcome).inc()

    def show_inbox(self, counts: Mapping[tuple[str, str], int], oldest: datetime | None, now: datetime) -> None:
        """Show how the inbox stands."""
        self._inbox.clear()
        for (pipeline, state), count in counts.items():
            self._inbox.labels(pipeline, state).set(count)
        self._oldest.set((now - oldest).total_seconds() if oldest else 0)
