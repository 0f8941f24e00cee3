"""Copies of a video: paid once under all their names, and none is lost when the paid one fails."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from config.load import load_pipeline
from tasks.copies import settle_copy
from tasks.domain.errors import CopyAhead
from tasks.domain.job import JobState
from tasks.infer import advance
from tasks.ledger.base import JobRecord, Slots
from tasks.plan import make_plan
from tasks.preview import Preview, preview
from tasks.run import Run
from tasks.spec import inference_spec
from tests.clips import write_clip
from tests.rig import NOON, Rig

ON = ", dedupe: content"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A folder with a clip."""
    rig = Rig(tmp_path)
    rig.videos.mkdir()
    write_clip(rig.videos / "a.mp4", frames=25)
    return rig


def copied(rig: Rig, name: str) -> None:
    """Put a copy of the clip beside it, younger."""
    shutil.copyfile(rig.videos / "a.mp4", rig.videos / name)


async def taken(run: Run, key: str) -> JobState:
    """Take a job as far as it goes."""
    async with run.holding(key) as job:
        assert job is not None
        ended = await advance(run, job, wait=True)
    assert ended.state is not None
    return ended.state


def known(run: Run) -> dict[str, JobRecord]:
    return {job.video.name: job for job in run.ledger.jobs("yard")}


async def test_a_moved_video_is_not_paid_again(rig: Rig) -> None:
    """Under its new name it has the results that were paid for under the old one."""
    first = rig.run(inference=ON)
    rig.listed(first)
    plan = make_plan(first, 0)
    assert JobState.SUCCEEDED is await taken(first, plan.todo[0])
    (rig.videos / "a.mp4").rename(rig.videos / "moved.mp4")
    (rig.videos / "moved.mp4").touch()

    later = rig.run(inference=ON)
    rig.listed(later)
    plan = make_plan(later, 0)
    assert ([], 1, 0) == (plan.todo, len(plan.reuse), plan.estimate.videos)
    assert JobState.SUCCEEDED is await taken(later, plan.reuse[0])

    assert 1 == rig.backend.taken
    assert known(later)["a.mp4"].result_key == known(later)["moved.mp4"].result_key != ""


async def test_without_the_setting_a_copy_is_a_video_of_its_own(rig: Rig) -> None:
    """Nothing is hashed and both are paid."""
    copied(rig, "b.mp4")
    run = rig.run()
    rig.listed(run)
    plan = make_plan(run, 0)

    assert (2, [], {}) == (len(plan.todo), plan.reuse, plan.copies)
    assert {None} == {job.content for job in known(run).values()}


async def test_of_two_new_copies_the_second_waits_for_the_first(rig: Rig) -> None:
    """The plan counts one; taken up too early, the second leaves everything as it is."""
    copied(rig, "b.mp4")
    run = rig.run(inference=ON)
    rig.listed(run)
    plan = make_plan(run, 0)
    jobs = known(run)
    assert ([jobs["a.mp4"].key], {jobs["a.mp4"].key: [jobs["b.mp4"].key]}) == (plan.todo, plan.copies)
    assert 1 == plan.estimate.videos

    async with run.holding(jobs["a.mp4"].key) as one:
        assert one is not None
        await advance(run, one, wait=False)
    assert JobState.PLANNED is await taken(run, jobs["b.mp4"].key)
    assert JobState.SUCCEEDED is await taken(run, jobs["a.mp4"].key)
    assert JobState.SUCCEEDED is await taken(run, jobs["b.mp4"].key)
    assert 1 == rig.backend.taken


async def test_a_copy_at_the_service_is_named(rig: Rig) -> None:
    """Whoever looks into it learns what is waited for."""
    copied(rig, "b.mp4")
    run = rig.run(inference=ON)
    rig.listed(run)
    make_plan(run, 0)
    async with run.holding(known(run)["a.mp4"].key) as one:
        assert one is not None
        await advance(run, one, wait=False)
    with pytest.raises(CopyAhead, match=r"b\.mp4: a copy of it, a\.mp4, is at the service"):
        await settle_copy(run, known(run)["b.mp4"])


async def test_results_that_somebody_cleaned_up_are_paid_again(rig: Rig) -> None:
    """A copy is worth nothing without them."""
    run = rig.run(inference=ON)
    rig.listed(run)
    await taken(run, make_plan(run, 0).todo[0])
    run.results.delete(known(run)["a.mp4"].result_key)
    copied(rig, "b.mp4")
    rig.listed(run)

    (key,) = make_plan(run, 0).reuse
    assert isinstance(await settle_copy(run, known(run)["b.mp4"]), Slots)
    assert JobState.SUCCEEDED is await taken(run, key)
    assert 2 == rig.backend.taken


async def test_what_was_inferred_before_the_setting_was_on_is_found_too(rig: Rig) -> None:
    """As long as it is still listed, it is asked for its content then."""
    before = rig.run()
    rig.listed(before)
    await taken(before, make_plan(before, 0).todo[0])
    copied(rig, "b.mp4")
    rig.clock.now = NOON.replace(hour=13)

    run = rig.run(inference=ON)
    rig.listed(run)
    plan = make_plan(run, 0)

    assert (1, []) == (len(plan.reuse), plan.todo)


def looked(rig: Rig, run: Run | None, inference: str = ON) -> Preview:
    """What `plan` tells."""
    pipeline = load_pipeline(str(rig.pipeline_file(inference=inference)))
    spec, _ = inference_spec(pipeline)
    return preview(
        pipeline, spec, rig.run(inference=inference).stores, run.ledger if run else None, NOON, rig.settings()
    )


async def test_plan_tells_which_are_copies(rig: Rig) -> None:
    """Before there is a ledger, from the listing alone; afterwards from both. It is the run's own count."""
    copied(rig, "b.mp4")
    assert (2, 1, 1) == ((told := looked(rig, None)).discovered, told.reused, told.estimate.videos)
    assert (0, 2) == ((told := looked(rig, None, inference="")).reused, told.estimate.videos)

    run = rig.run(inference=ON)
    rig.listed(run)
    await taken(run, make_plan(run, 0).todo[0])
    assert (1, 0) == ((told := looked(rig, run)).reused, told.estimate.videos)
    assert 1 == told.as_json("yard")["reused"]


def test_videos_without_a_hash_are_counted_and_paid(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that keeps none is no reason to guess: the plan says so, of how many."""
    copied(rig, "b.mp4")
    monkeypatch.setattr("tasks.storage.local.LocalStorage.content_hash", lambda *_: "")
    run = rig.run(inference=ON)
    rig.listed(run)
    plan, told = make_plan(run, 0), looked(rig, None)

    assert (2, 2) == (len(plan.todo), told.estimate.videos)
    for warnings in (plan.warnings, told.warnings):
        assert ["2 videos" in warning for warning in warnings if "dedupe" in warning] == [True]
