"""A shared rate holds however many callers there are."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.pace import Pace
from tasks.run import POLLS_PER_S
from tests.rig import Rig
from tests.virtual_time import run_virtually


def turns(per_s: float, burst: int, arrivals: list[float]) -> list[float]:
    """At which second each caller got its turn."""

    async def call() -> list[float]:
        loop = asyncio.get_running_loop()
        pace = Pace(per_s, burst=burst, timer=loop.time, sleep=asyncio.sleep)
        got: list[float] = []

        async def caller(at: float) -> None:
            await asyncio.sleep(at)
            await pace.turn()
            got.append(loop.time())

        await asyncio.gather(*(caller(at) for at in arrivals))
        return got

    return run_virtually(call())


def test_a_burst_passes_at_once_and_the_rest_in_step() -> None:
    """Ten callers, three at once, then two a second."""
    assert [0, 0, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5] == [round(at, 3) for at in turns(2, 3, [0.0] * 10)]


def test_a_quiet_time_earns_one_burst_and_no_more() -> None:
    """After an hour of nothing the rate is what it was."""
    got = turns(1, 2, [0.0, 3600.0, 3600.0, 3600.0])

    assert [0, 3600, 3600, 3601] == [round(at, 3) for at in got]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 60), min_size=1, max_size=60), st.integers(1, 5), st.integers(1, 8))
def test_no_window_holds_more_than_the_burst_and_its_share(arrivals: list[float], per_s: int, burst: int) -> None:
    """In any span of s seconds at most burst + s * rate callers pass, and all of them do."""
    got = sorted(turns(per_s, burst, arrivals))

    assert len(arrivals) == len(got)
    for i, first in enumerate(got):
        for j in range(i, len(got)):
            assert j - i + 1 <= burst + (got[j] - first) * per_s + 1e-3


def test_a_clock_that_is_set_back_keeps_nobody_waiting(rig: Rig) -> None:
    """The machine's date goes an hour back while a run polls: the next question is due when it was."""

    async def ask() -> list[float]:
        run = rig.run()
        for _ in range(int(POLLS_PER_S) + 1):
            await run.polls.turn()
        rig.clock.set_back(timedelta(hours=1))
        await run.polls.turn()
        return rig.clock.slept

    waits = run_virtually(ask())

    assert round(1 / POLLS_PER_S, 3) == round(max(waits), 3)
