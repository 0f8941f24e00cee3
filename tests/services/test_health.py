"""`/healthz` and `/readyz` of any service."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI

from deployments.services import health as health_module
from deployments.services.health import Check, Health, add_health
from tasks.domain.errors import LedgerUnavailable, ReelrouteError

SECRET = "postgresql://reelroute:5ec7e7@db/ledger"


class Dependency:
    """Something that can be down."""

    def __init__(self) -> None:
        self.error: ReelrouteError | None = None

    def check(self) -> None:
        if self.error:
            raise self.error


def client(health: Health) -> httpx.AsyncClient:
    app = FastAPI()
    add_health(app, health)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.test")


@pytest.fixture
def at_once() -> Iterator[None]:
    """Nobody waits for what hangs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health_module, "ANSWER_WITHIN", timedelta(milliseconds=1))
        yield


async def test_ready_names_each_dependency() -> None:
    """So that one sees what was looked at."""
    async with client(Health({"ledger": Dependency().check, "prefect": Dependency().check})) as asking:
        answer = await asking.get("/readyz")

    assert (200, {"status": "ready", "checks": {"ledger": "ok", "prefect": "ok"}}) == (
        answer.status_code,
        answer.json(),
    )


async def test_not_ready_says_which_one_is_down_and_the_log_why(caplog: pytest.LogCaptureFixture) -> None:
    """Strangers learn a code; what happened is for the log, once per change and not per look."""
    ledger = Dependency()
    ledger.error = LedgerUnavailable("connection refused by db.internal")
    health = Health({"ledger": ledger.check, "prefect": Dependency().check}, fresh_for=timedelta(0))
    async with client(health) as asking:
        answers = [await asking.get("/readyz") for _ in range(3)]
        said = caplog.text
        ledger.error = None
        after = await asking.get("/readyz")

    assert [503, 503, 503] == [answer.status_code for answer in answers]
    assert {"status": "not ready", "checks": {"ledger": "ledger_unavailable", "prefect": "ok"}} == answers[0].json()
    assert "db.internal" not in answers[0].text
    assert 1 == said.count("connection refused by db.internal")
    assert (200, 1) == (after.status_code, caplog.text.count("ledger is ready again"))


@pytest.mark.usefixtures("at_once")
async def test_a_dependency_that_hangs_hangs_nobody() -> None:
    """It is not ready, and those that answer are told as they are."""
    for_ever = threading.Event()
    checks: dict[str, Check] = {"ledger": for_ever.wait, "prefect": Dependency().check}
    health = Health(checks, fresh_for=timedelta(hours=1))
    try:
        async with client(health) as asking:
            while (answer := await asking.get("/readyz")).json()["checks"]["prefect"] != "ok":
                pass  # a millisecond may be too short for the one that does answer
    finally:
        for_ever.set()

    assert (503, "service_unavailable") == (answer.status_code, answer.json()["checks"]["ledger"])


@pytest.mark.parametrize(("alive", "status", "code"), [(True, "ok", 200), (False, "degraded", 503)])
async def test_alive_has_nothing_to_do_with_dependencies(alive: bool, status: str, code: int) -> None:
    """A database that is down is no reason to restart the service; a service that does not work is."""
    ledger = Dependency()
    ledger.error = LedgerUnavailable("down")
    async with client(Health({"ledger": ledger.check}, is_alive=lambda: alive, facts={"workers": 2})) as asking:
        answer = await asking.get("/healthz")
        head = await asking.head("/healthz")

    assert (code, {"status": status, "workers": 2}) == (answer.status_code, answer.json())
    assert code == head.status_code


async def test_who_does_not_work_is_not_ready() -> None:
    """A load balancer that looks at one of the two only must not send work there."""
    async with client(Health({}, is_alive=lambda: False)) as asking:
        answer = await asking.get("/readyz")

    assert (503, {"self": "degraded"}) == (answer.status_code, answer.json()["checks"])
