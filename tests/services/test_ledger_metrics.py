"""The ledger's metrics, and the small service that shows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest

from deployments.services.ledger_metrics import LedgerWatch, create_app
from tasks.domain.errors import LedgerUnavailable
from tasks.domain.job import DeliveryState, JobState
from tasks.ledger.base import Ledger
from tasks.ledger.open import open_ledger
from tests.contracts.ledger_samples import LEASE, NOW, PIPELINE, add, drive, planned, video
from tests.services.test_metrics import samples


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    ledger = open_ledger(ledger_url)
    yield ledger
    ledger.close()


def scraped(watch: LedgerWatch) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(watch)
    return samples(generate_latest(registry).decode())


def test_jobs_and_deliveries_are_counted_by_state(ledger: Ledger) -> None:
    """Every state of jobs is there, if only as 0, so that an alert on `unknown` works before the first one."""
    states = [JobState.SUBMITTED, JobState.UNKNOWN, JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.PLANNED]
    keys = [add(ledger, planned(video(number))) for number in range(len(states))]
    for key, state in zip(keys, states, strict=True):
        drive(ledger, key, state)
    ledger.plan_deliveries(PIPELINE, keys[2], {"results": "r", "labelbox": "l"}, NOW)
    ledger.claim_delivery(PIPELINE, keys[2], "results", "me", LEASE, NOW)
    ledger.finish_delivery(PIPELINE, keys[2], "results", "me", DeliveryState.DELIVERED, NOW)

    seen = scraped(LedgerWatch(lambda: ledger, clock=lambda: NOW + timedelta(minutes=90)))

    assert {"submitted": 1, "unknown": 1, "succeeded": 2, "planned": 1, "failed": 0, "expired": 0, "submitting": 0} == {
        name[1]: number for name, number in seen.items() if name[0] == "reelroute_jobs"
    }
    assert 1 == seen["reelroute_deliveries", "results", "delivered"]
    assert 1 == seen["reelroute_deliveries", "labelbox", "pending"]
    assert 5400 == seen["reelroute_oldest_in_flight_seconds",]
    assert 1 == seen["reelroute_ledger_up",]


def test_nothing_in_flight_is_no_age(ledger: Ledger) -> None:
    """0, not the age of something that is over."""
    drive(ledger, add(ledger), JobState.SUCCEEDED)

    assert 0 == scraped(LedgerWatch(lambda: ledger))["reelroute_oldest_in_flight_seconds",]


def test_a_ledger_that_is_away_is_told_and_looked_for_again(ledger: Ledger) -> None:
    """No count is told that nobody counted: an old one would hide what happens now."""
    answers = iter([LedgerUnavailable("the database is gone")])

    def open_it() -> Ledger:
        for error in answers:
            raise error
        return ledger

    watch = LedgerWatch(open_it, fresh_for=timedelta(0))

    assert {("reelroute_ledger_up",): 0.0} == scraped(watch)
    assert 1 == scraped(watch)["reelroute_ledger_up",]


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://metrics.test")


async def test_the_service_starts_before_there_is_a_ledger(ledger_url: str, tmp_path: Path) -> None:
    """It says so, makes none, and needs its key for counts only."""
    async with client(create_app(ledger_url, "s3cret")) as asking:
        alive = await asking.get("/healthz")
        ready = await asking.get("/readyz")
        closed = await asking.get("/metrics")
        metrics = await asking.get("/metrics", headers={"Authorization": "Bearer s3cret"})

    assert (200, 503, 401, 200) == (alive.status_code, ready.status_code, closed.status_code, metrics.status_code)
    assert {"ledger": "ledger_missing"} == ready.json()["checks"]
    assert "auth_refused" == closed.json()["error"]
    assert 0 == samples(metrics.text)["reelroute_ledger_up",]
    assert [] == list(tmp_path.iterdir())


async def test_without_a_key_who_reaches_it_may_look(ledger: Ledger, ledger_url: str) -> None:
    """On loopback; elsewhere it does not start without one."""
    add(ledger)
    async with client(create_app(ledger_url, "")) as asking:
        metrics = await asking.get("/metrics")
        ready = await asking.get("/readyz")

    assert 1 == samples(metrics.text)["reelroute_jobs", "planned"]
    assert (200, {"ledger": "ok"}) == (ready.status_code, ready.json()["checks"])
