"""The preview: the same numbers as the run that follows, and nothing changed by looking."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.domain.job import JobState
from tasks.infer import Inferred, advance, infer_plainly
from tasks.plan import make_plan
from tasks.preview import Preview, preview
from tasks.run import Run
from tests.rig import Rig


def look(rig: Rig, run: Run, *, limit: int = 0, with_ledger: bool = True) -> Preview:
    """The preview of a run's pipeline."""
    return preview(run.pipeline, run.spec, run.stores, run.ledger if with_ledger else None, rig.clock.now, limit=limit)


def test_without_a_ledger_everything_is_new(rig: Rig) -> None:
    """The first look at a folder."""
    found = look(rig, rig.run(), with_ledger=False)

    assert (2, 2, 10) == (found.discovered, found.estimate.videos, found.estimate.frames)


def test_the_preview_agrees_with_the_plan_of_the_run(rig: Rig) -> None:
    """What was announced is what happens."""
    (rig.videos / "bad.mp4").write_text("no video")
    run = rig.run(more="budget: {max_videos: 1, cost_per_1000_frames: 2}")
    found = look(rig, run)
    rig.listed(run)
    plan = make_plan(run, 0)

    assert plan.estimate == found.estimate
    assert plan.left_out == found.left_out
    assert ["video_unreadable"] == [failure["code"] for failure in found.failures]


async def test_a_day_s_budget_is_shared_by_its_runs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run submitted is spent, in the preview, in the plan and at the moment of submission."""
    monkeypatch.setattr("tasks.infer.get_run_logger", logging.getLogger)
    more = "budget: {max_videos: 1, per: day}"
    earlier, run = rig.run(more=more), rig.run(more=more)
    first, second = rig.listed(earlier)
    stale = make_plan(run, 0, [second])  # it was planned while there was room
    async with earlier.holding(first.key) as job:
        assert job is not None
        await advance(earlier, job, wait=False)

    found, plan = look(rig, run), make_plan(run, 0, [second])
    assert [second.key] == stale.todo
    assert {"budget.max_videos 1 per day": 1} == found.left_out == plan.left_out
    ended = await infer_plainly(run, second.key, "b", wait=False)
    assert isinstance(ended, Inferred)
    assert (JobState.PLANNED, "budget.max_videos 1 per day", 1) == (ended.state, ended.left_out, rig.backend.taken)

    rig.clock.now += timedelta(days=1)
    tomorrow = make_plan(rig.run(more=more), 0, [second])
    assert [second.key] == tomorrow.todo


def test_what_the_ledger_knows_is_not_counted_again(rig: Rig) -> None:
    """Done videos cost nothing."""
    run = rig.run()
    job = rig.listed(run)[0]
    run.ledger.claim(job.key, run.owner, run.lease, run.clock())
    run.ledger.move(job.key, JobState.PLANNED, JobState.SUBMITTING, run.owner, run.clock())
    found = look(rig, run)

    assert ({"submitting": 1}, 1) == (found.known, found.estimate.videos)


def test_looking_changes_nothing(rig: Rig) -> None:
    """Not even the facts that were probed are written."""
    run = rig.run()
    jobs = rig.listed(run)
    look(rig, run)

    assert jobs == list(run.ledger.jobs("yard"))


def test_every_video_is_named_as_it_is_looked_at(rig: Rig, tmp_path: Path) -> None:
    """Whoever waits sees that something is going on."""
    run = rig.run()
    seen: list[str] = []
    preview(run.pipeline, run.spec, run.stores, None, rig.clock.now, looked=seen.append)

    assert {"a.mp4", "sub/b.mp4"} == set(seen)


def test_the_longest_videos_come_first(rig: Rig) -> None:
    """They decide when the run ends."""
    found = look(rig, rig.run())

    assert isinstance(found, Preview)
    assert sorted(found.longest, reverse=True) == found.longest
    assert {"discovered", "estimate", "failures", "longest"} <= set(found.as_json("yard"))
