"""Shards and plain runs within one process, on a real Prefect server: what the dead left, and fewer rows."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.context import FlowRunContext

from flows import sharing
from flows.pool import Pool
from flows.sharing import Sharing, work_as_helper, work_through
from flows.workers import Workers, count_places
from tasks.domain.errors import AccessDenied, JobFailed, StorageUnavailable
from tasks.domain.job import JobState
from tasks.infer import advance
from tasks.plan import make_plan
from tasks.report import Outcome
from tasks.run import Run
from tasks.shards import batch_of, split
from tasks.stored import result_key
from tests.clips import write_clip
from tests.rig import Rig

pytestmark = pytest.mark.engine

VIDEOS = 5


@pytest.fixture
def rig(tmp_path: Path, prefect_server: str) -> Rig:
    """A run's surroundings, with a folder of clips."""
    rig = Rig(tmp_path)
    rig.videos.mkdir()
    first = write_clip(rig.videos / "0.mp4", frames=25)
    for number in range(1, VIDEOS):
        (rig.videos / f"{number}.mp4").write_bytes(first.read_bytes())
    return rig


def shared(rig: Rig, run: Run) -> list[str]:
    """List, plan, and write shards of three down."""
    rig.listed(run)
    return split(run, make_plan(run, 0), 3)


def states(run: Run) -> list[tuple[JobState, int]]:
    return [(job.state, job.attempts) for job in run.ledger.jobs("yard")]


async def test_a_shard_of_the_dead_is_finished_by_another(rig: Rig) -> None:
    """Its jobs, too, which have leases of their own; what was submitted already is not submitted again."""
    run, dead = rig.run(), rig.run()
    ids = shared(rig, run)
    batch = batch_of(ids[0])
    shard = dead.ledger.claim_shard(batch, dead.owner, dead.lease, rig.clock.now)
    assert shard is not None
    later = dead.lease + timedelta(seconds=30)
    for key in shard.jobs:
        job = dead.ledger.claim(key, dead.owner, later, rig.clock.now, pipeline="yard")
        assert job is not None
        if key == shard.jobs[0]:
            await advance(dead, job, wait=False)
    rig.clock.now += dead.lease

    @flow(name="shard", persist_result=False)
    async def work() -> Outcome | None:
        return await work_through(run, batch, ids[0])

    assert await work() is not None

    assert [(JobState.SUCCEEDED, 1)] * 3 + [(JobState.PLANNED, 0)] * 2 == states(run)
    assert 3 == rig.backend.taken
    assert [True, False] == [one.done for one in run.ledger.shards(batch)]


async def test_a_dead_process_with_every_slot_does_not_stop_the_others(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a slot within a shard of its own collects what the dead one has at the service."""
    monkeypatch.setattr(sharing, "RELIEF_S", 0.2)
    two = ", max_in_flight: 2"
    run, dead = rig.run(inference=two), rig.run(inference=two)
    ids = shared(rig, run)
    shard = dead.ledger.claim_shard(batch_of(ids[0]), dead.owner, dead.lease, rig.clock.now)
    assert shard is not None
    for key in shard.jobs[:2]:
        job = dead.ledger.claim(key, dead.owner, dead.lease, rig.clock.now, pipeline="yard")
        assert job is not None
        await advance(dead, job, wait=False)
    rig.clock.now += dead.lease
    # Time stands still: no slot becomes free because the deadline of its job passes.
    run.sleep = lambda _: asyncio.sleep(0.05)

    @flow(name="shard", persist_result=False)
    async def work() -> Outcome | None:
        async with asyncio.timeout(120):
            return await work_through(run, batch_of(ids[1]), ids[1])

    assert await work() is not None

    well = (JobState.SUCCEEDED, 1)
    assert [well, well, (JobState.PLANNED, 0), well, well] == states(run)
    assert [False, True] == [one.done for one in run.ledger.shards(batch_of(ids[0]))]
    assert 4 == len(list((rig.out / "results").glob("*.json.gz")))
    assert {dead.owner} == {shard.lease_owner for shard in run.ledger.shards(batch_of(ids[0])) if not shard.done}


async def test_a_helper_goes_on_with_what_nobody_has_begun(rig: Rig) -> None:
    """Its own shard first; when everything is done, one that comes late has nothing to do."""
    run = rig.run()
    ids = shared(rig, run)
    found = run.ledger.shard(ids[1])
    assert found is not None

    @flow(name="helper", persist_result=False)
    async def work(helper: Run) -> int:
        return await work_as_helper(helper, found)

    assert (2, 0) == (await work(rig.run()), await work(rig.run()))

    assert [(JobState.SUCCEEDED, 1)] * VIDEOS == states(run)
    assert VIDEOS == len(list((rig.out / "results").glob("*.json.gz")))
    assert set() == run.ledger.owners()


async def test_without_workers_there_are_no_helpers(rig: Rig) -> None:
    """A server that knows no deployment of ours: the run does everything itself."""
    assert 0 == await count_places()


@pytest.mark.parametrize(("fates", "paid", "reused"), [([True], 1, VIDEOS - 1), ([JobFailed("broken")], 2, VIDEOS - 2)])
async def test_copies_are_taken_up_when_all_shards_are_done(
    rig: Rig, fates: list[Exception | bool], paid: int, reused: int
) -> None:
    """An original may have been another process's; if it came to nothing, the next is submitted in its place."""
    rig.backend.checks = fates
    run, outcome = rig.run(inference=", dedupe: content"), Outcome()
    rig.listed(run)
    plan = make_plan(run, 0)
    assert (1, VIDEOS - 1) == (len(plan.todo), sum(map(len, plan.copies.values())))

    @flow(name="shared", persist_result=False)
    async def work() -> None:
        await Sharing(run, plan, outcome, 3, Workers("yard", 0)).infer_all()

    await work()

    assert (paid, paid, 1, reused) == (rig.backend.taken, outcome.submitted, outcome.succeeded, outcome.reused)
    assert [] == outcome.warnings
    assert reused + 1 == len(list((rig.out / "results").glob("*.json.gz"))) == outcome.delivered["results"]


async def test_less_detail_is_one_task_run_and_the_same_work(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that passes is tried again, one bad video stops nobody, and each failure is counted as ever."""
    monkeypatch.setenv("REELROUTE_DETAIL", "batch")
    rig.backend.submits = [AccessDenied("no"), None, None]
    rig.backend.downloads = [StorageUnavailable("busy")]
    rig.backend.checks = [JobFailed("out of memory")]
    run, outcome, stored = rig.run(), Outcome(), list[str]()
    rig.listed(run)
    todo = make_plan(run, 0).todo

    @flow(name="batch", persist_result=False)
    async def work() -> object:
        await Pool(run, outcome, stored.append).infer_all(todo)
        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        return context.flow_run.id

    flow_run = await work()

    assert {JobState.FAILED: 2, JobState.SUCCEEDED: 3} == {
        state: [now for now, _ in states(run)].count(state) for state in {now for now, _ in states(run)}
    }
    assert (4, 3, 3) == (rig.backend.taken, outcome.succeeded, len(stored))
    async with get_client() as client:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
        names = set()
        for _ in range(100):  # the server records task runs a moment later
            names = {one.name for one in await client.read_task_runs(flow_run_filter=only)}
            if names:
                break
            await asyncio.sleep(0.2)
    assert {f"videos: {VIDEOS}"} == names


async def test_stored_results_are_taken_over_beside_the_shards(rig: Rig) -> None:
    """By the run that planned them, and delivered as all others; a damaged one is paid again, by the same run."""
    first = rig.run()
    for job in rig.listed(first)[:3]:
        async with first.holding(job.key) as held:
            assert held is not None
            await advance(first, held, wait=True)
    first.ledger.close()
    for file in (rig.folder / "home").glob("ledger.db*"):
        file.unlink()
    run, outcome = rig.run(), Outcome()
    rig.listed(run)
    plan = make_plan(run, 0)
    assert (2, 3) == (len(plan.todo), len(plan.reuse))
    run.results.write(result_key(plan.reuse[0]), b"")

    @flow(name="shared", persist_result=False)
    async def work() -> None:
        await Sharing(run, plan, outcome, 1, Workers("yard", 0)).infer_all()

    await work()

    assert (6, 2) == (rig.backend.taken, outcome.reused)
    assert {JobState.SUCCEEDED} == {state for state, _ in states(run)}
    assert VIDEOS == outcome.delivered["results"] == len(list((rig.out / "results").glob("*.json.gz")))
