"""A batch of uploads becomes jobs: what is there now counts, whatever the events said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.batch import holding_batch, jobs_of, record_batch, settle
from tasks.choose import Plan
from tasks.domain.job import JobState
from tasks.domain.upload import UploadEvent
from tasks.ledger.base import Ledger
from tasks.ledger.inbox import BatchState, Upload
from tasks.run import Run
from tests.rig import NOON, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    made.videos.mkdir(exist_ok=True)
    return made


def upload(rig: Rig, name: str, version: str = "as told") -> Upload:
    return Upload(f"key of {name} {version}", f"file://{rig.videos}/{name}", version, None, NOON, 1)


def test_what_is_there_is_planned(rig: Rig) -> None:
    """As a listing would have it; nothing else in the folder is looked at."""
    run = rig.run()
    for name in ("a.mp4", "sub/b é.mp4", "not told of.mp4"):
        (rig.videos / name).parent.mkdir(exist_ok=True)
        (rig.videos / name).write_bytes(b"video")
    looked = record_batch(run, [upload(rig, "a.mp4"), upload(rig, "sub/b é.mp4")])
    told = {job.key: job.video.name for job in run.ledger.jobs("yard")}
    assert ({"a.mp4", "sub/b é.mp4"}, (2, 2)) == (set(told.values()), (looked.found.videos, looked.found.new))
    assert {job.key for job in rig.listed(rig.run()) if job.video.name != "not told of.mp4"} == set(told)
    run.ledger.close()


def test_two_versions_of_one_object_are_one_job(rig: Rig) -> None:
    """Only the one that is there can be read."""
    (rig.videos / "a.mp4").write_bytes(b"video")
    run = rig.run()
    looked = record_batch(run, [upload(rig, "a.mp4", "v1"), upload(rig, "a.mp4", "v2")])
    assert 1 == len(set(looked.jobs.values()))
    assert (2, 1) == (len(looked.jobs), looked.found.videos)
    run.ledger.close()


def test_what_is_not_to_be_inferred_has_an_outcome(rig: Rig) -> None:
    """Gone since, not wanted, or of no source any more."""
    (rig.videos / "notes.txt").write_bytes(b"text")
    run = rig.run()
    elsewhere = Upload("elsewhere", "s3://bucket/a.mp4", "v", 1, NOON, 1)
    looked = record_batch(run, [upload(rig, "gone.mp4"), upload(rig, "notes.txt"), elsewhere])
    assert ["gone", "suffix", "place"] == list(looked.outcomes.values())
    assert ({}, 0) == (looked.jobs, looked.found.videos)
    assert {"gone": 1, "suffix": 1, "place": 1} == dict(looked.found.not_taken)
    assert ["1 upload is gone: deleted or renamed before the run came to them"] == list(looked.found.warnings)
    assert looked.outcomes == settle(run, looked, Plan())
    run.ledger.close()


def test_jobs_are_settled_by_where_they_stand(rig: Rig) -> None:
    """What nobody has begun waits for another run; what failed has its code."""
    names = ["planned.mp4", "submitted.mp4", "failed.mp4"]
    for name in names:
        (rig.videos / name).write_bytes(os.urandom(9))
    run = rig.run()
    looked = record_batch(run, [upload(rig, name) for name in names])
    keys = {run_job.video.name: run_job.key for run_job in run.ledger.jobs("yard")}
    for name, way in {
        "submitted.mp4": [JobState.SUBMITTING, JobState.SUBMITTED],
        "failed.mp4": [JobState.FAILED],
    }.items():
        before = run.ledger.claim(keys[name], run.owner, run.lease, run.clock())
        assert before is not None
        for state in way:
            before = run.ledger.move(before.key, before.state, state, run.owner, run.clock(), job_id="j")
    todo, left = jobs_of(run, looked)
    assert (["planned.mp4"], ["submitted.mp4"]) == ([j.video.name for j in todo], [j.video.name for j in left])
    outcomes = settle(run, looked, Plan())
    assert {"key of submitted.mp4 as told": "submitted", "key of failed.mp4 as told": "failed"} == outcomes
    run.ledger.close()


def in_batch(ledger: Ledger, run: Run, *names: str) -> str:
    events = [UploadEvent(scheme="file", container="", key=name, version="v") for name in names]
    ledger.put_uploads([("yard", event) for event in events], run.clock())
    batch = ledger.form_batch("yard", "drain", run.lease, run.clock(), most=9)
    assert batch is not None
    return batch.id


def test_what_the_budget_holds_back_is_left_to_another_run(rig: Rig) -> None:
    """Waiting in the inbox, it would be paid for by the next budget a minute later."""
    (rig.videos / "a.mp4").write_bytes(b"video")
    run = rig.run()
    looked = record_batch(run, [upload(rig, "a.mp4")])
    held = Plan(held=set(looked.jobs.values()))
    assert ["left for another run"] == list(settle(run, looked, held).values())
    assert {} == settle(run, looked, Plan())
    run.ledger.close()


def test_what_a_day_s_budget_holds_back_waits_for_the_next_day(rig: Rig) -> None:
    """The inbox gives it out again later; until then the ledger has no room for it."""
    (rig.videos / "a.mp4").write_bytes(b"video")
    run = rig.run(more="budget: {max_videos: 1, per: day}")
    looked = record_batch(run, [upload(rig, "a.mp4")])
    assert {} == settle(run, looked, Plan(held=set(looked.jobs.values())))
    run.ledger.close()


async def test_a_batch_is_held_by_one_run(rig: Rig) -> None:
    """Another that is started for it finds nothing to do."""
    run, other = rig.run(), rig.run()
    batch = in_batch(run.ledger, run, "a.mp4", "b.mp4")
    async with holding_batch(run, batch) as mine, holding_batch(other, batch) as theirs:
        assert mine is not None
        assert (2, None) == (len(mine), theirs)
        [running] = run.ledger.batches([BatchState.RUNNING])
        assert run.owner == running.lease_owner
    for one in (run, other):
        one.ledger.close()
