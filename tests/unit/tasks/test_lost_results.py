"""Stored results that somebody removed or damaged: told as a failure of the job, which a replay gets again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.routing import Router
from tasks.collect import fetch_results
from tasks.domain.errors import ResultPruned
from tasks.domain.job import DeliveryState, JobState
from tasks.infer import advance
from tasks.replay import Wanted, plan_again, select
from tasks.report import Outcome
from tasks.run import Run
from tests.rig import Rig, results


async def stored(rig: Rig) -> tuple[Run, str, str]:
    """A run with a video whose results are stored and delivered nowhere: its job, and the results' place."""
    run = rig.run()
    key = rig.listed(run)[0].key
    async with run.holding(key) as job:
        assert job is not None
        ended = await advance(run, job, wait=True)
    found = run.ledger.job(ended.key)
    assert found is not None
    return run, key, found.result_key


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda run, place: run.results.delete(place), "result_pruned"),
        (lambda run, place: run.results.write(place, b""), "result_invalid"),
        (lambda run, place: run.results.write(place, run.results.read(place)[:-20]), "result_invalid"),
        (lambda run, place: run.results.write(place, gzip.compress(b"<html>")), "result_invalid"),
    ],
    ids=["removed", "empty", "cut", "another file"],
)
async def test_a_job_whose_results_are_of_no_use_fails_and_is_replayed(
    rig: Rig, tmp_path: Path, damage: Callable[[Run, str], None], code: str
) -> None:
    """Not its deliveries, which no replay could ever repair; it is asked for, and paid again only by consent."""
    run, key, place = await stored(rig)
    damage(run, place)
    router = Router(run, Outcome())

    assert (None, []) == router._prepare(key, tmp_path)

    job = run.ledger.job(key)
    assert job is not None
    assert job.failure is not None
    assert (JobState.FAILED, "store", code) == (job.state, job.failure.stage, job.failure.code)
    assert "replay PIPELINE --failed" in job.failure.hint
    assert [DeliveryState.PENDING] * 3 == [one.state for one in run.ledger.deliveries("yard", job_key=key)]
    assert [] == select(run.ledger, run.pipeline, run.spec, Wanted()).ask
    assert [key] == select(run.ledger, run.pipeline, run.spec, Wanted(failed=True)).ask
    assert 1 == rig.backend.taken

    assert await plan_again(run, key) is not None
    async with run.holding(key) as held:
        assert held is not None
        await advance(run, held, wait=True)
    delivery, routes = router._prepare(key, tmp_path)
    assert delivery is not None
    assert set(run.fingerprints) == set(routes)
    assert 2 == rig.backend.taken
    assert results() == json.loads(gzip.decompress(run.results.read(place)))
    run.ledger.close()


async def test_results_that_come_back_are_taken_over_by_the_replay(rig: Rig, tmp_path: Path) -> None:
    """Such as those of a disk that was not mounted: nothing is paid again."""
    run, key, place = await stored(rig)
    kept = run.results.read(place)
    run.results.delete(place)
    router = Router(run, Outcome())
    assert (None, []) == router._prepare(key, tmp_path)
    run.results.write(place, kept)

    run = rig.run()
    assert await plan_again(run, key) is not None
    async with run.holding(key) as held:
        assert held is not None
        ended = await advance(run, held, wait=True)
    assert (JobState.SUCCEEDED, True, 1) == (ended.state, ended.reused, rig.backend.taken)
    run.ledger.close()


async def test_the_error_names_the_job_and_the_place(rig: Rig, tmp_path: Path) -> None:
    """So that a person can look for it."""
    run, key, place = await stored(rig)
    run.results.delete(place)
    job = run.ledger.job(key)
    assert job is not None
    with pytest.raises(ResultPruned, match=rf"a\.mp4.*gone \({place}\)"):
        fetch_results(run, job, tmp_path / "results.json")
    run.ledger.close()
