"""Pruning that is killed, that is refused, beside runs that work, and beside another ledger."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from config.settings import Settings
from tasks import prune
from tasks.discover import record_listing
from tasks.domain.job import DeliveryState, JobState
from tasks.infer import advance
from tasks.job_ids import TakenJob
from tasks.ledger.base import JobRecord
from tasks.ledger.open import open_ledger
from tasks.run import Run
from tasks.stored import result_key
from tests.clips import write_clip
from tests.rig import NOON, Rig
from tests.unit.tasks.test_prune import AGE, LATER, pruned, replaced, whole

ROOT = Path(__file__).parents[3]
# What a prune does in a process of its own, with one step replaced by the death of the process.
KILLED = """
import os, signal, sys
from datetime import datetime, timedelta
from config.settings import Settings
from tasks import prune
from tasks.ledger import pruning
from tasks.ledger.base import JobRecord
from tasks.ledger.open import open_ledger
from tasks.storage.local import LocalStorage

home, place, later = sys.argv[1:]
setattr({"LocalStorage": LocalStorage, "pruning": pruning}[place.split(".")[0]], place.split(".")[1],
        lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
settings = Settings.model_validate({"REELROUTE_HOME": home})
ledger = open_ledger(settings.ledger_url.get_secret_value())
prune.prune_all(ledger, settings, datetime.fromisoformat(later), older_than=timedelta(days=90))
"""


def read(run: Run, key: str) -> JobRecord:
    job = run.ledger.job(key, pipeline="yard")
    assert job is not None
    return job


def names(run: Run) -> set[str]:
    """What the results store has."""
    return {one.key for one in run.results.list()}


@pytest.mark.parametrize(
    ("place", "is_stored"),
    [("pruning.forget_story", True), ("LocalStorage.delete", True), ("pruning.forget_results", False)],
)
async def test_a_prune_that_is_killed_is_finished_by_the_next(rig: Rig, place: str, is_stored: bool) -> None:
    """Anywhere in it: what is needed is there afterwards, and what was to go goes."""
    run, first, second = await replaced(rig)
    needed = names(run) - {result_key(first.key)}
    command = [sys.executable, "-P", "-c", KILLED, str(run.settings.home), place, LATER.isoformat()]
    died = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )

    assert -signal.SIGKILL == died.returncode, died.stderr
    assert (needed, is_stored) == (needed & names(run), names(run) != needed)
    assert read(run, first.key).result_key
    assert 1 == pruned(run).results
    assert needed == names(run)
    assert (0, 0) == (pruned(run).results, pruned(run).history)
    assert second.key == run.ledger.current_job("yard", first.video.uri, run.spec)
    assert [JobState.SUCCEEDED] * 3 == [job.state for job in run.ledger.jobs("yard")]
    run.ledger.close()


async def test_nothing_of_a_run_that_works_is_taken(rig: Rig) -> None:
    """Its work folders however old, jobs at the service, what is to be delivered, ids beside the ledger."""
    run = rig.run()
    record_listing(run)
    flying, waiting = list(run.ledger.jobs("yard"))
    run.ledger.claim(flying.key, run.owner, run.lease, run.clock())
    await run.move(flying, JobState.SUBMITTING, token="t", service=run.service)
    flying = await run.move(read(run, flying.key), JobState.SUBMITTED, job_id="job-7")
    async with run.holding(waiting.key) as held:
        assert held is not None
        await advance(run, held, wait=True)
    run.job_ids.add(TakenJob("c" * 32, "job-8", run.service, run.clock()))
    facts = [read(run, key) for key in (flying.key, waiting.key)]
    stories = [run.ledger.story(key) for key in (flying.key, waiting.key)]

    with run.work_folder() as folder:
        (folder / "results.json").write_text("half")
        os.utime(folder, (NOON.timestamp(), NOON.timestamp()))
        found = pruned(run)
        assert (folder / "results.json").exists()

    assert (0, 0, 0) == (found.history, found.results, found.work)
    assert facts == [read(run, key) for key in (flying.key, waiting.key)]
    assert stories == [run.ledger.story(key) for key in (flying.key, waiting.key)]
    assert {DeliveryState.PENDING} == {one.state for one in run.ledger.deliveries("yard", job_key=waiting.key)}
    assert ["job-8"] == [taken.job_id for taken in run.job_ids.read()]
    assert 1 == len(names(run))
    run.ledger.close()


async def test_a_version_that_comes_back_while_results_are_deleted_is_kept(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to go is asked anew every few deletions, not once for all."""
    monkeypatch.setattr(prune, "_AT_ONCE", 1)
    run = rig.run()
    first = await whole(run, rig)
    for job in first:
        write_clip(rig.videos / job.video.name, frames=26)
    run = rig.run()
    run.ledger.plan(
        "yard", [(job.key, job.video, job.spec) for job in await whole(run, rig)], LATER - timedelta(days=1)
    )
    store = run.results

    class Slow:
        """While the first is deleted, a run lists the other old version again."""

        def delete(self, key: str) -> None:
            store.delete(key)
            other = next(job for job in first if job.key not in key)
            run.ledger.plan("yard", [(other.key, other.video, other.spec)], LATER)

    monkeypatch.setattr(prune, "open_results", lambda _: Slow())
    assert 1 == pruned(run).results
    assert 3 == len(names(run))
    run.ledger.close()


async def test_a_ledger_that_took_stored_results_over_prunes_none_of_them(rig: Rig) -> None:
    """What is current stays; what only the lost ledger knew as replaced is not its to remove."""
    run, first, second = await replaced(rig)
    everything = names(run)
    run.ledger.close()
    for file in (rig.folder / "home").glob("ledger.db*"):
        file.unlink()
    paid = rig.backend.taken

    again = rig.run()
    await whole(again, rig)
    assert paid == rig.backend.taken
    assert again.ledger.job(first.key) is None
    assert second.key == again.ledger.current_job("yard", second.video.uri, again.spec)
    assert 0 == pruned(again).results
    assert everything == names(again)
    again.ledger.close()


async def test_what_another_ledger_has_in_the_same_store_is_left_to_it(rig: Rig) -> None:
    """It never looks into the store: its own ledger says what goes. Gone for the other, a result is told as such."""
    run, _, _ = await replaced(rig)
    other = Settings.model_validate(
        {"REELROUTE_HOME": rig.folder / "other", "REELROUTE_RESULTS_URL": f"file://{rig.folder}/home/results"}
    )
    with closing(open_ledger(other.ledger_url.get_secret_value())) as ledger:
        found = prune.prune_all(ledger, other, LATER, older_than=AGE)
        assert (0, 0) == (found.results, found.history)
    assert 3 == len(names(run))
    assert 1 == pruned(run).results
    assert 2 == len(names(run))
    run.ledger.close()
