"""The budget of a day, held by runs that planned at the same time: what had no room is counted and told."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from flows.pool import Pool
from tasks.discover import Discovery
from tasks.domain.job import JobState
from tasks.infer import advance
from tasks.plan import make_plan
from tasks.report import Outcome, headline, stand, summarise
from tasks.run import Run
from tests.rig import Rig

SPENT = "budget.max_videos 1 per day"


def runs(rig: Rig) -> Run:
    """A run that shows no task run per video, so that it needs no Prefect server."""
    run = rig.run(more="budget: {max_videos: 1, per: day}")
    run.settings = run.settings.model_copy(update={"detail": "batch"})
    rig.listed(run)
    return run


async def test_what_another_run_has_spent_meanwhile_is_left_out_and_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both had room for one video when they planned; one is submitted, and the next day has room again."""
    monkeypatch.setattr("tasks.infer.get_run_logger", logging.getLogger)
    run, other = runs(rig), runs(rig)
    plan = make_plan(run, 0)
    [mine] = plan.todo
    [theirs] = plan.held
    async with other.holding(theirs) as held:
        assert held is not None
        await advance(other, held, wait=True)
    outcome, stored = Outcome(), list[str]()

    await Pool(run, outcome, stored.append)._work(iter([mine]), 1, [])
    summary = summarise(run, Discovery(2, 0), plan, outcome, stand(run, outcome))

    assert (0, [], 1) == (outcome.submitted, stored, rig.backend.taken)
    assert ({SPENT: 2}, 0, 0) == (summary["left_out"], summary["failed"], summary["exit_code"])
    assert f"2 videos left for another run: {SPENT}" in headline(summary)
    [left] = run.ledger.jobs(states=[JobState.PLANNED])
    assert (mine, 0) == (left.key, left.attempts)

    rig.clock.now += timedelta(days=1)
    later = runs(rig)
    assert [mine] == make_plan(later, 0).todo
    await Pool(later, outcome, stored.append)._work(iter([mine]), 1, [])
    assert (1, [mine], 2) == (outcome.submitted, stored, rig.backend.taken)
