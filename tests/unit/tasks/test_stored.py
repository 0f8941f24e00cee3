"""Results that are there already are taken over, not paid: after a ledger was lost, restored or not found."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator

import pytest

from tasks.choose import Plan
from tasks.domain.errors import AccessDenied, BudgetSpent, LocationMissing
from tasks.domain.job import JobState
from tasks.infer import Inferred, advance
from tasks.plan import make_plan
from tasks.preview import preview
from tasks.run import Run
from tasks.storage.base import ObjectInfo
from tasks.stored import StoredResults, result_key
from tests.contracts.memory_storage import MemoryStorage
from tests.rig import Rig, results


def planned(rig: Rig, run: Run) -> Plan:
    rig.listed(run)
    return make_plan(run, 0)


async def inferred(run: Run, keys: list[str]) -> list[Inferred]:
    ended = []
    for key in keys:
        job = run.ledger.claim(key, run.owner, run.lease, run.clock(), pipeline="yard")
        assert job is not None
        ended.append(await advance(run, job, wait=True))
    return ended


async def without_its_ledger(rig: Rig, more: str = "") -> Run:
    """A run of a pipeline all of whose videos were inferred, by a ledger that is gone."""
    run = rig.run()
    await inferred(run, planned(rig, run).todo)
    run.ledger.close()
    for file in (rig.folder / "home").glob("ledger.db*"):
        file.unlink()
    assert 2 == rig.backend.taken
    return rig.run(more=more)


async def test_a_lost_ledger_pays_nothing_again(rig: Rig) -> None:
    """Every video succeeds by its stored results, whatever the budget, and the plan says so before."""
    run = await without_its_ledger(rig, more="budget: {max_videos: 1}")
    seen = preview(run.pipeline, run.spec, run.stores, None, run.clock(), run.settings)
    plan = planned(rig, run)
    ended = await inferred(run, plan.reuse)

    assert (2, 0, 2, []) == (seen.reused, seen.estimate.videos, len(plan.reuse), plan.todo)
    assert [True, True] == [one.reused for one in ended]
    assert 2 == rig.backend.taken
    job = run.ledger.job(ended[0].key)
    assert job is not None
    assert (JobState.SUCCEEDED, result_key(job.key)) == (job.state, job.result_key)


async def test_a_new_ledger_that_meets_earlier_work_says_so(rig: Rig) -> None:
    """Plan and run name the place; a ledger with a history is told nothing, nor is a first night."""
    first = rig.run()
    assert [] == planned(rig, first).warnings
    run = await without_its_ledger(rig)
    seen = preview(run.pipeline, run.spec, run.stores, None, run.clock(), run.settings)
    plan = planned(rig, run)

    for warnings in (seen.warnings, plan.warnings):
        (told,) = warnings
        assert run.results.root in told
        assert "REELROUTE_HOME" in told
    await inferred(run, plan.reuse)
    assert [] == planned(rig, rig.run()).warnings


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:40],
        lambda data: b"no gzip",
        lambda data: gzip.compress(json.dumps(results([0, 5, 4995])).encode()),
        lambda data: gzip.compress(b"{}"),
    ],
    ids=["cut", "no gzip", "other frames", "empty"],
)
async def test_stored_results_are_checked_as_a_download_is(rig: Rig, damage: Callable[[bytes], bytes]) -> None:
    """What cannot be used is paid again, and overwritten."""
    run = await without_its_ledger(rig)
    plan = planned(rig, run)
    place = result_key(plan.reuse[0])
    run.results.write(place, damage(run.results.read(place)))
    ended = await inferred(run, plan.reuse)

    assert [False, True] == [one.reused for one in ended]
    assert 3 == rig.backend.taken
    assert results() == json.loads(gzip.decompress(run.results.read(place)))


async def test_what_cannot_be_used_after_all_keeps_to_the_budget(rig: Rig) -> None:
    """The plan counted on it; now it has no room."""
    run = await without_its_ledger(rig, more="budget: {max_video_minutes: 0.001}")
    plan = planned(rig, run)
    run.results.write(result_key(plan.reuse[0]), b"no gzip")

    with pytest.raises(BudgetSpent):
        await inferred(run, plan.reuse)
    assert 2 == rig.backend.taken


class Counting(MemoryStorage):
    """A store that counts what it is asked, and may refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.refuses = False

    def stat(self, key: str) -> ObjectInfo:
        self.asked.append(key)
        if self.refuses:
            raise AccessDenied("no")
        return super().stat(key)


def test_an_empty_store_is_asked_once() -> None:
    """A first night over a large bucket costs one request, and afterwards each video one."""
    store = Counting()
    stored = StoredResults(store)
    assert not any(stored.has(f"{number:032x}") for number in range(100))
    assert [] == store.asked
    store.write(result_key("a" * 32), b"x")
    again = StoredResults(store)
    assert [True, False] == [again.has("a" * 32), again.has("b" * 32)]
    assert 2 == len(store.asked)


def test_a_place_that_is_not_there_holds_nothing() -> None:
    """Before the first run made it, or where a bucket is missing: a plan goes on."""

    class Missing(MemoryStorage):
        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            raise LocationMissing(f"no bucket for {prefix!r}")

    assert not StoredResults(Missing()).has("a" * 32)


async def test_copies_of_what_is_stored_wait_for_it(rig: Rig) -> None:
    """A video whose results are stored is the original of its copies: none of them is paid."""
    run = await without_its_ledger(rig)
    shutil.copy(rig.videos / "a.mp4", rig.videos / "z-copy.mp4")
    run = rig.run(inference=", dedupe: content")
    plan = planned(rig, run)

    assert ([], 2) == (plan.todo, len(plan.reuse))
    assert [1] == [len(copies) for copies in plan.copies.values()]
    assert set(plan.copies) <= set(plan.reuse)


def test_a_store_that_may_not_be_looked_at_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Such as S3 without the right to list, which refuses to say that nothing is there."""
    store = Counting()
    store.write("any", b"x")
    store.refuses = True
    stored = StoredResults(store)
    assert not any(stored.has(f"{number:032x}") for number in range(3))
    assert (1, 1) == (len(store.asked), len(caplog.records))
