"""Thousands of uploads in seconds, while things die: none lost, none doubled, a handful of runs."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from deployments.services.events.starters import PrefectStarter, StartFailed
from tasks.ledger.inbox import Batch, BatchState
from tests.emulators import proxy
from tests.postgres import PostgresServer
from tests.services.events.burst import PIPELINE, Burst, inbox_of, is_started
from tests.services.events.event_process import EventProcess, wait_for

# Generous: each starts several processes, which a busy machine takes its time for.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

SIZES = [400, pytest.param(10_000, marks=[pytest.mark.bench, pytest.mark.timeout(1200)])]


@pytest.fixture
def deployment(prefect_server: str) -> str:
    """The deployment `on-upload`, which nobody works on: runs are only made."""
    from flows.on_upload import on_upload

    asyncio.run(_register(on_upload))
    return prefect_server


async def _register(flow: object) -> None:
    made = await flow.ato_deployment("on-upload")  # type: ignore[attr-defined]
    await made.aapply()


async def runs_of(pipeline: str) -> list[tuple[str, str]]:
    """(pipeline, batch) of each flow run that was made for a pipeline file."""
    from prefect import get_client

    found: list[tuple[str, str]] = []
    async with get_client() as client:
        while page := await client.read_flow_runs(limit=100, offset=len(found)):
            found += [
                (run.parameters["pipeline"], run.parameters["batch"]) for run in page if "batch" in run.parameters
            ]
            if len(page) < 100:
                break
    return [run for run in found if run[0] == pipeline]


@pytest.fixture
def yard(tmp_path: Path) -> str:
    path = tmp_path / "yard.yaml"
    path.write_text(PIPELINE)
    return str(path)


@pytest.fixture
def events(tmp_path: Path, yard: str, deployment: str) -> Iterator[EventProcess]:
    # As it is by default: a slow machine pauses for a second in mid-burst.
    quiet = {"REELROUTE_EVENTS_QUIET": "5s"}
    process = EventProcess(tmp_path, {"REELROUTE_EVENTS_PIPELINES": yard, "PREFECT_API_URL": deployment, **quiet})
    yield process
    process.stop()


def check(burst: Burst, inbox: dict[str, int]) -> None:
    """Every upload once, nothing else, and the bad ones refused."""
    assert dict.fromkeys(burst.keys, 1) == dict(inbox)
    few = burst.number // 100
    good = burst.number + burst.number // 10
    assert {"good": {200: good}, "malformed": {422: few}, "forged": {403: few}} == burst.statuses


@pytest.mark.parametrize("number", SIZES)
async def test_a_burst(events: EventProcess, tmp_path: Path, yard: str, number: int) -> None:
    """Fewer than 20 flow runs for all of it, and each upload is in one of them."""
    burst, began = Burst(number), time.perf_counter()
    await burst.post(events.url)
    took = time.perf_counter() - began
    check(burst, inbox_of(tmp_path / "home"))
    await asyncio.to_thread(wait_for, lambda: is_started(tmp_path / "home"))
    runs = await runs_of(yard)
    print(f"\n{number} uploads: {burst.tries} posts in {took:.1f} s, {len(runs)} flow runs")
    assert 0 < len(runs) < 20
    assert len(runs) == len(set(runs))


@pytest.mark.parametrize("number", SIZES)
async def test_a_receiver_that_is_killed(events: EventProcess, tmp_path: Path, number: int) -> None:
    """With SIGKILL: what was answered 2xx is on disk, and senders repeat the rest."""
    burst = Burst(number, seed=2)

    async def kill() -> None:
        for _ in range(1 if number < 1000 else 3):
            await burst.comes_to(burst.tries + number // 5)
            await asyncio.to_thread(events.kill)
            await asyncio.to_thread(events.start)

    await asyncio.gather(burst.post(events.url), kill())
    check(burst, inbox_of(tmp_path / "home"))
    print(f"\n{number} uploads, killed in mid-burst: {burst.tries} posts")


async def test_a_database_that_restarts(tmp_path: Path, yard: str, deployment: str, postgres: PostgresServer) -> None:
    """The service stays up, says so, and asks senders to come again; nothing is lost or doubled."""
    with postgres.database() as name:
        url = postgres.url(name)
        settings = {"REELROUTE_EVENTS_PIPELINES": yard, "PREFECT_API_URL": deployment, "REELROUTE_LEDGER_URL": url}
        events = EventProcess(tmp_path, settings)
        burst = Burst(400, seed=3)

        async def restart() -> None:
            await burst.comes_to(150)
            await asyncio.to_thread(postgres.stop, signal.SIGQUIT)
            wait = asyncio.to_thread(wait_for, lambda: events.get("/readyz").json()["checks"]["ledger"] != "ok")
            try:
                await wait
                assert 503 == events.get("/readyz").status_code
                assert 200 == events.get("/healthz").status_code
            finally:
                await asyncio.to_thread(postgres.start)

        try:
            await asyncio.gather(burst.post(events.url), restart())
            with psycopg.connect(url) as connection:
                rows = connection.execute("SELECT uri, count(*) FROM uploads GROUP BY uri").fetchall()
            check(burst, {uri.removeprefix("s3://yard/"): count for uri, count in rows})
            await asyncio.to_thread(wait_for, lambda: events.get("/readyz").status_code == 200)
        finally:
            events.stop()


async def test_a_prefect_server_that_is_away(tmp_path: Path, yard: str, deployment: str) -> None:
    """Uploads are taken and kept, `/readyz` says what is missing, and a few runs catch up once it is back."""
    port = httpx.URL(deployment).port
    assert port is not None
    with proxy.serve(proxy.Proxy(port)) as server:
        server.fault = lambda request: proxy.Fault()
        settings = {"REELROUTE_EVENTS_PIPELINES": yard, "PREFECT_API_URL": f"{server.url}/api"}
        events = EventProcess(tmp_path, {**settings, "PREFECT_CLIENT_MAX_RETRIES": "0"})
        try:
            burst = Burst(300, seed=4)
            await burst.post(events.url)
            await asyncio.to_thread(wait_for, lambda: events.get("/readyz").json()["checks"]["runs"] != "ok")
            assert [] == await runs_of(yard)
            server.reset()
            await asyncio.to_thread(wait_for, lambda: events.get("/readyz").status_code == 200)
            await asyncio.to_thread(wait_for, lambda: is_started(tmp_path / "home"))
            check(burst, inbox_of(tmp_path / "home"))
            runs = await runs_of(yard)
            assert 0 < len(runs) < 10
        finally:
            events.stop()


async def test_runs_that_cannot_be_started_or_found(deployment: str) -> None:
    """A missing deployment is named; starting twice makes one run; a run that is gone is over, a waiting one is not."""
    batch = Batch(uuid4().hex, "yard", BatchState.FORMED, 1, "", "drain", datetime.now(UTC))
    with pytest.raises(StartFailed, match=r"no deployment on-upload/nowhere: `reelroute deploy` registers it"):
        await PrefectStarter("on-upload/nowhere").start("yard", batch)
    starter = PrefectStarter("on-upload/on-upload")
    first = await starter.start("yard", batch)
    assert first == await starter.start("yard", batch)
    assert (False, True) == (await starter.is_over(first), await starter.is_over(str(uuid4())))
    assert "" == await starter.check()
    assert 1 == await told_of(batch.id)


async def told_of(batch: str) -> int:
    """How many Prefect events tell of a batch, once there is one."""
    from prefect import get_client

    found: list[str] = []
    async with get_client() as client:
        for _ in range(100):
            wanted = {"event": {"name": ["reelroute.uploads.landed"]}}
            answer = await client._client.post("/events/filter", json={"filter": wanted, "limit": 50})
            found = [event["payload"]["batch"] for event in answer.json()["events"]]
            if batch in found:
                break
            await asyncio.sleep(0.2)
    return found.count(batch)
