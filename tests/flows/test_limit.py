"""The limit in Prefect's UI: each run holds one slot while it submits, and waits for it if it must."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.asyncio import concurrency

from flows.pool import Pool
from tasks.domain.job import JobState
from tasks.plan import make_plan
from tasks.report import Outcome
from tasks.run import Run
from tests.clips import write_clip
from tests.rig import Rig, ScriptedBackend

pytestmark = pytest.mark.engine

NAME = "roboflow-video"


class Watched(ScriptedBackend):
    """A service that looks at the limit whenever it is given a job."""

    def __init__(self, limit: str) -> None:
        super().__init__()
        self.limit = limit
        self.taken_slots: list[int] = []

    async def submit(self, *asked: object) -> str:
        self.taken_slots.append(await slots(self.limit))
        return await super().submit(*asked)  # type: ignore[arg-type]


async def slots(name: str) -> int:
    """How many slots of a limit are taken."""
    async with get_client() as client:
        return (await client.read_global_concurrency_limit_by_name(name)).active_slots


async def limited(name: str, limit: int) -> None:
    """Make a limit, as people do in the UI."""
    async with get_client() as client:
        await client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=limit))


@pytest.fixture
def rig(tmp_path: Path, prefect_server: str) -> Rig:
    """Three clips."""
    rig = Rig(tmp_path)
    rig.videos.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        write_clip(rig.videos / name, frames=25)
    return rig


def held_to(rig: Rig, name: str | None) -> Run:
    """A run that the settings hold to a limit."""
    run = rig.run()
    run.settings = run.settings.model_copy(update={"prefect_limit": name})
    rig.listed(run)
    return run


async def submitted(run: Run) -> Outcome:
    """What the pool did, within a flow."""
    outcome, plan = Outcome(), await asyncio.to_thread(make_plan, run, 0)

    @flow(name="limited")
    async def pooled() -> None:
        await Pool(run, outcome, lambda _: None).infer_all(plan.todo)

    await pooled()
    return outcome


async def test_a_run_holds_one_slot_while_it_submits(rig: Rig) -> None:
    """However many videos it has; and none afterwards."""
    await limited(NAME, 2)
    rig.backend = service = Watched(NAME)
    outcome = await submitted(held_to(rig, NAME))

    assert (3, [1, 1, 1]) == (outcome.submitted, service.taken_slots)
    assert 0 == await slots(NAME)


async def test_a_run_without_a_slot_waits_and_can_be_stopped(rig: Rig) -> None:
    """Somebody else has it; what was planned stays so."""
    await limited("busy", 1)
    run = held_to(rig, "busy")
    async with concurrency("busy"):
        waiting = asyncio.create_task(submitted(run))
        await asyncio.sleep(1)
        assert not waiting.done()
        run.stop.ask(signal.SIGTERM)
        outcome = await waiting

    assert (0, 0) == (outcome.submitted, rig.backend.taken)
    assert {JobState.PLANNED} == {job.state for job in run.ledger.jobs("yard")}


async def test_a_limit_of_nothing_submits_nothing_and_says_so(rig: Rig) -> None:
    """That is how people hold everything back."""
    await limited("closed", 0)
    outcome = await submitted(held_to(rig, "closed"))

    assert 0 == rig.backend.taken
    assert ["3 videos are left for another run: Prefect's limit closed lets nobody in"] == outcome.warnings


async def test_a_limit_that_nobody_made_limits_nothing(rig: Rig) -> None:
    """A name that was mistyped costs a warning, not the night."""
    outcome = await submitted(held_to(rig, "no-such-limit"))

    assert 3 == outcome.submitted
