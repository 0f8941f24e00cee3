"""Winding down: pauses end at once, steps get their grace, and nothing that was learnt is thrown away."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tasks.stop import CutShort, Stop


async def fails() -> None:
    raise ValueError("no")


async def test_a_pause_ends_when_the_run_is_asked_to_stop() -> None:
    """Nobody waits out an hour's sleep."""
    stop = Stop()
    pausing = asyncio.create_task(stop.pause(asyncio.sleep(3600)))
    await asyncio.sleep(0)

    stop.ask(signal.SIGTERM)

    assert not await pausing


async def test_a_pause_after_the_request_is_none() -> None:
    """Whoever pauses later learns at once that it is over; one that ran out says to go on."""
    stop = Stop()
    assert await stop.pause(asyncio.sleep(0))
    stop.ask(signal.SIGINT)

    assert not await stop.pause(asyncio.sleep(3600))


async def test_a_question_is_walked_away_from_and_its_answer_is_none() -> None:
    """What decides nothing has no grace; what has ended keeps its result, or its error."""
    stop = Stop()
    assert 7 == await stop.unless_asked(asyncio.sleep(0, 7))
    with pytest.raises(ValueError, match="no"):
        await stop.unless_asked(fails())
    asking = asyncio.create_task(stop.unless_asked(asyncio.sleep(3600, 7)))
    await asyncio.sleep(0)

    stop.ask(signal.SIGTERM)

    assert await asking is None


async def test_the_first_signal_names_the_stop() -> None:
    """The exit code is that of the signal that asked, as shells count."""
    stop = Stop()
    assert (False, "", 0) == (stop.asked, stop.why, stop.exit_code)

    stop.ask(signal.SIGTERM)
    stop.ask(signal.SIGINT)

    assert (True, "SIGTERM", 143) == (stop.asked, stop.why, stop.exit_code)


async def test_a_step_under_way_ends_and_its_result_is_kept() -> None:
    """A request that has left is answered: the answer counts."""
    stop, answer = Stop(), asyncio.Event()

    async def step() -> str:
        await answer.wait()
        return "job-1"

    running = asyncio.create_task(stop.finish(step()))
    await asyncio.sleep(0)
    stop.ask(signal.SIGTERM)
    await asyncio.sleep(0)
    answer.set()

    assert "job-1" == await running


async def test_a_step_that_outlasts_the_grace_is_cut_short() -> None:
    """A service that hangs does not keep the process."""
    stop = Stop(grace_s=0.01)
    running = asyncio.create_task(stop.finish(asyncio.sleep(3600)))
    await asyncio.sleep(0)
    stop.ask(signal.SIGTERM)

    with pytest.raises(CutShort):
        await running
    with pytest.raises(CutShort):
        await stop.finish(asyncio.sleep(3600))


async def test_a_step_that_fails_raises_its_own_error() -> None:
    """Grace changes nothing about failures."""
    with pytest.raises(ValueError, match="no"):
        await Stop().finish(fails())


async def test_cancellation_waits_for_the_step() -> None:
    """Cancelled in the middle, a step ends first: its answer is not thrown away."""
    done: list[bool] = []
    began = asyncio.Event()

    async def step() -> None:
        began.set()
        await asyncio.sleep(0.02)
        done.append(True)

    running = asyncio.create_task(Stop().finish(step()))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert [True] == done


async def test_whoever_is_cancelled_as_well_is_cancelled() -> None:
    """Asked to stop and torn down in the same moment: the cancellation is not swallowed."""
    stop = Stop()
    pausing = asyncio.create_task(stop.pause(asyncio.sleep(3600)))
    await asyncio.sleep(0)

    stop.ask(signal.SIGTERM)
    pausing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await pausing


async def test_cancelled_without_being_asked_is_cancelled() -> None:
    """A pause is no shield."""
    pausing = asyncio.create_task(Stop().pause(asyncio.sleep(3600)))
    await asyncio.sleep(0)
    pausing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await pausing
