"""The preview: the same numbers as the run that follows, and nothing changed by looking."""

from __future__ import annotations

import json
import logging
import os
from datetime import timedelta
from pathlib import Path

import pytest

from tasks.discover import Listing, record_listing
from tasks.domain.job import JobState
from tasks.infer import Inferred, advance, infer_plainly
from tasks.plan import make_plan
from tasks.preview import Preview, preview
from tasks.run import Run
from tests.clips import write_clip
from tests.rig import PIPELINE, Rig


def look(rig: Rig, run: Run, *, limit: int = 0, with_ledger: bool = True) -> Preview:
    """The preview of a run's pipeline."""
    return preview(
        run.pipeline,
        run.spec,
        run.stores,
        run.ledger if with_ledger else None,
        rig.clock.now,
        run.settings,
        limit=limit,
    )


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


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        ('{{uri: "{videos}"}}, {{uri: "{videos}/sub"}}', {"videos/a.mp4", "sub/b.mp4"}),
        ('{{uri: "{videos}/sub"}}, {{uri: "{videos}"}}', {"videos/a.mp4", "videos/sub/b.mp4"}),
        ('{{uri: "{videos}"}}, {{uri: "{videos}/sub", min_size: 1GB}}', {"videos/a.mp4", "videos/sub/b.mp4"}),
    ],
    ids=["inner-last", "inner-first", "inner-does-not-take-it"],
)
def test_a_video_of_two_sources_is_one_video(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, sources: str, names: set[str]
) -> None:
    """Plan and run count it once, under the name that the last source which takes it gives, and pay it once."""
    monkeypatch.setattr("tests.rig.PIPELINE", PIPELINE.replace('{{uri: "{videos}"}}', sources))
    run = rig.run(more="budget: {cost_per_1000_frames: 2}")
    found = look(rig, run)
    listing = Listing(run.pipeline, run.stores, rig.clock.now)
    assert names == {video.name for video in listing}
    recorded, plan = record_listing(run), make_plan(run, 0)

    assert 2 == found.discovered == recorded.videos == recorded.new == len(plan.todo)
    assert plan.estimate == found.estimate
    empty = [warning for warning in found.warnings if warning.startswith("no videos in")]
    assert ("min_size" in sources) == bool(empty)


@pytest.mark.parametrize("inference", ["", ", dedupe: content"])
def test_under_a_budget_the_preview_names_the_videos_that_the_run_takes(rig: Rig, inference: str) -> None:
    """Those that wait since an earlier run come first, wherever the listing has them; copies take no room."""
    more = "budget: {max_videos: 1}"
    (rig.videos / "a.mp4").rename(rig.folder / "aside.mp4")
    make_plan(rig.run(more=more, inference=inference), 0)
    rig.listed(rig.run(more=more, inference=inference))
    write_clip(rig.videos / "a.mp4", frames=10)
    (rig.videos / "c.mp4").write_bytes((rig.videos / "sub" / "b.mp4").read_bytes())

    run = rig.run(more=more, inference=inference)
    found = look(rig, run)
    rig.listed(run)
    plan = make_plan(run, 0)

    job = run.ledger.job(plan.todo[0], pipeline="yard")
    assert job is not None
    assert ["sub/b.mp4"] == [name for _, name in found.longest] == [job.video.name]
    assert plan.left_out == found.left_out
    assert found.reused == sum(map(len, plan.copies.values())) == (1 if inference else 0)


def test_whatever_the_ledger_knows_and_names_are_the_preview_is_one_json_object(rig: Rig) -> None:
    """With jobs in every state, a limit that is reached, a bad video, and names that are no text or hold markup."""
    for n in range(7):
        write_clip(rig.videos / f"{n}.mp4", frames=10)
    odd = [os.fsdecode(b"n\xffo.mp4"), "new\nline.mp4", 'quote"s.mp4', "<b>.mp4"]
    for name in odd:
        (rig.videos / name).write_text("no video")
    run = rig.run(more="budget: {max_videos: 1}")
    states = {job.video.name: job for job in rig.listed(run)}
    ways = [
        [JobState.SUBMITTING],
        [JobState.SUBMITTING, JobState.SUBMITTED],
        [JobState.SUBMITTING, JobState.SUBMITTED, JobState.SUCCEEDED],
        [JobState.FAILED],
        [JobState.SUBMITTING, JobState.UNKNOWN],
        [JobState.SUBMITTING, JobState.SUBMITTED, JobState.EXPIRED],
    ]
    for n, way in enumerate(ways):
        job = states[f"{n}.mp4"]
        run.ledger.claim(job.key, run.owner, run.lease, run.clock())
        for state in way:
            job = run.ledger.move(job.key, job.state, state, run.owner, run.clock())

    read = json.loads(json.dumps(look(rig, run).as_json("yard"), allow_nan=False))

    assert {str(way[-1]): 1 for way in ways} == read["known"]
    assert {"budget.max_videos 1": 2} == read["left_out"]
    assert set(odd) == {failure["video"] for failure in read["failures"]}


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
    preview(run.pipeline, run.spec, run.stores, None, rig.clock.now, run.settings, looked=seen.append)

    assert {"a.mp4", "sub/b.mp4"} == set(seen)


def test_the_longest_videos_come_first(rig: Rig) -> None:
    """They decide when the run ends."""
    found = look(rig, rig.run())

    assert isinstance(found, Preview)
    assert sorted(found.longest, reverse=True) == found.longest
    assert {"discovered", "estimate", "failures", "longest"} <= set(found.as_json("yard"))
