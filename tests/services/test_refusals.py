"""Who guesses keys waits and is logged; nobody else notices."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.services.ledger_metrics import create_app
from deployments.services.refusals import LONGEST_WAIT_S, MOST_WAITING, SlowRefusals, note_refusal

KEY = "a-key-that-is-long"
GUESS = "a-guess-MARKED"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Gate:
    """A sleep that lasts until it is opened, and that says when so many sleep."""

    def __init__(self, expected: int) -> None:
        self._to_come = expected
        self.full, self.open = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self._to_come -= 1
        if not self._to_come:
            self.full.set()
        await self.open.wait()


def keyed() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def guarded(request: Request) -> Response:
        if request.query_params.get("api_key") == KEY:
            return JSONResponse("welcome")
        note_refusal(request, "the API key is missing or wrong")
        return JSONResponse("no", 401)

    return app


def asking(app: SlowRefusals | FastAPI, host: str = "10.0.0.1") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(host, 1)), base_url="http://service.test")


async def test_each_refusal_of_a_peer_takes_longer_than_the_one_before() -> None:
    """Up to a longest one; the right key is never held, and does not wipe the slate."""
    time = Time()
    async with asking(SlowRefusals(keyed(), time, time.sleep)) as client:
        for _ in range(8):
            assert 401 == (await client.get("/", params={"api_key": GUESS})).status_code
            assert 200 == (await client.get("/", params={"api_key": KEY})).status_code
    assert [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0] == time.slept
    assert LONGEST_WAIT_S == time.slept[-1]


async def test_other_peers_start_anew_and_so_does_a_peer_that_was_quiet() -> None:
    """Mistakes of one do not slow another, and are forgotten after a minute; an IPv6 network is one peer."""
    time = Time()
    app = SlowRefusals(keyed(), time, time.sleep)
    for host in ("10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"):
        async with asking(app, host) as client:
            await client.get("/")
    assert [0.1, 0.1, 0.1, 0.2] == time.slept
    time.now += 61
    async with asking(app, "2001:db8::3") as client:
        await client.get("/")
    assert 0.1 == time.slept[-1]


async def test_guesses_at_once_do_not_take_all_connections() -> None:
    """So many answers of a peer wait; more are turned away, and the right key passes meanwhile."""
    gate = Gate(MOST_WAITING)
    async with asking(SlowRefusals(keyed(), Time(), gate.sleep)) as client:
        held = [asyncio.create_task(client.get("/")) for _ in range(MOST_WAITING)]
        await gate.full.wait()
        turned_away = await client.get("/", params={"api_key": GUESS})
        assert (429, "too_many_refusals") == (turned_away.status_code, turned_away.json()["error"])
        assert "retry-after" in turned_away.headers
        assert 200 == (await client.get("/", params={"api_key": KEY})).status_code
        gate.open.set()
        assert [401] * MOST_WAITING == [(await answer).status_code for answer in held]
        assert 401 == (await client.get("/")).status_code


async def test_the_log_names_the_peer_once_a_minute_and_never_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """With how many there were since the last line."""
    time = Time()
    with caplog.at_level(logging.WARNING):
        async with asking(SlowRefusals(keyed(), time, time.sleep)) as client:
            for _ in range(20):
                await client.get("/", params={"api_key": GUESS})
            time.now += 60
            await client.get("/", params={"api_key": GUESS})
    lines = [record.message for record in caplog.records if "refused" in record.message]
    assert [
        "refused with 401: the API key is missing or wrong, from 10.0.0.1 (1 since the last line)",
        "refused with 401: the API key is missing or wrong, from 10.0.0.1 (20 since the last line)",
    ] == lines
    assert "MARKED" not in caplog.text


async def test_names_of_peers_cannot_forge_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A proxy may hand on what it was told."""
    time = Time()
    async with asking(SlowRefusals(keyed(), time, time.sleep), "x\n2026 CRITICAL all keys leaked\x1b[2J") as client:
        await client.get("/")
    assert "\n2026" not in caplog.messages[-1]
    assert "\x1b" not in caplog.messages[-1]


async def test_the_metrics_service_holds_who_guesses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is no way around."""
    async with asking(create_app(f"sqlite:///{tmp_path}/ledger.db", KEY)) as client:
        assert 401 == (await client.get("/metrics", params={"api_key": GUESS})).status_code
    assert "from 10.0.0.1" in caplog.text
