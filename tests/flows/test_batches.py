"""Routes that take several videos at once: what their batch's end says of single videos."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from flows import routing
from flows.pool import Pool
from flows.routing import Router
from tasks.domain.errors import DataRowRefused, ReelrouteError, StillProcessing
from tasks.domain.job import DeliveryState
from tasks.plan import make_plan
from tasks.report import Outcome
from tasks.run import Run
from tasks.sinks.base import Delivery, Receipt
from tests.clips import write_clip
from tests.rig import Rig

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _prepared(prefect_server: str) -> None:
    """A Prefect server is there."""


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Two videos."""
    rig = Rig(tmp_path)
    for name in ("a.mp4", "sub/b.mp4"):
        (rig.videos / name).parent.mkdir(parents=True, exist_ok=True)
        write_clip(rig.videos / name, frames=25)
    return rig


class Uploads:
    """A sink that uploads at a batch's end, and is told whom to refuse.

    Attributes:
        refuses: Video name -> what it meets, one per attempt.
        ended: The names of each batch.
    """

    def __init__(self, refuses: dict[str, list[ReelrouteError]]) -> None:
        self.refuses = refuses
        self.ended: list[list[str]] = []

    def deliver(self, delivery: Delivery) -> Receipt:
        return Receipt(outputs=(f"place:{delivery.video.name}",))

    def finish(self, delivered: Sequence[Delivery]) -> Receipt | None:
        self.ended.append([delivery.video.name for delivery in delivered])
        met = {one.job_key: self.refuses[one.video.name] for one in delivered if self.refuses.get(one.video.name)}
        return Receipt(outputs=(), warnings=("one warning",), refused={key: left.pop(0) for key, left in met.items()})


def go(rig: Rig, sink: Uploads, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, Outcome]:
    """Infer and route everything with this sink as the results route."""
    monkeypatch.setattr(routing, "open_sinks", lambda run: dict.fromkeys(run.fingerprints, sink))
    run = rig.run()
    outcome = Outcome()

    async def steps() -> None:
        rig.listed(run)
        plan = make_plan(run, 0)
        async with Router(run, outcome) as router:
            await Pool(run, outcome, router.put).infer_all(plan.todo)

    asyncio.run(steps())
    return run, outcome


def states(run: Run, route: str = "results") -> dict[str, DeliveryState]:
    """Video name -> where its delivery to a route stands."""
    names = {job.key: job.video.name for job in run.ledger.jobs("yard")}
    found = run.ledger.deliveries("yard", list(DeliveryState))
    return {names[one.job_key]: one.state for one in found if one.route == route}


def test_a_video_that_a_batchs_end_refuses_fails_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reason is recorded; the batch's other videos are delivered, and its warnings told."""
    sink = Uploads({"a.mp4": [DataRowRefused("cannot read it")] * 3})

    run, outcome = go(rig, sink, monkeypatch)

    assert {"a.mp4": DeliveryState.FAILED, "sub/b.mp4": DeliveryState.DELIVERED} == states(run)
    assert 1 == outcome.delivered["results"]
    failures = [one.failure.code for one in run.ledger.deliveries("yard", [DeliveryState.FAILED]) if one.failure]
    assert {"data_row_refused"} == set(failures)
    assert "results: one warning" in outcome.warnings


def test_a_video_that_the_other_side_prepares_comes_again_at_the_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not hold up the others, and is delivered by the same run once its place is ready."""
    sink = Uploads({"a.mp4": [StillProcessing("not yet")] * 3})  # once for each of the three routes

    run, outcome = go(rig, sink, monkeypatch)

    assert {"a.mp4": DeliveryState.DELIVERED, "sub/b.mp4": DeliveryState.DELIVERED} == states(run)
    assert 2 == outcome.delivered["results"]
    assert ["a.mp4"] == sink.ended[-1]


def test_a_video_that_is_never_ready_waits_for_the_next_run(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried twice, not for ever, and stays pending with its reason."""
    sink = Uploads({"a.mp4": [StillProcessing("not yet")] * 9})

    run, _ = go(rig, sink, monkeypatch)

    assert DeliveryState.PENDING == states(run)["a.mp4"]
    assert 6 == sum("a.mp4" in batch for batch in sink.ended)  # twice on each of the three routes
