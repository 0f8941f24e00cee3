"""Results that are there already are taken over, not paid: after a ledger was lost, restored or not found."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.settings import Settings
from tasks.choose import Plan
from tasks.domain.errors import (
    AccessDenied,
    BudgetSpent,
    CredentialsRefused,
    LocationMissing,
    ObjectMissing,
    ResultInvalid,
    StorageUnavailable,
)
from tasks.domain.job import JobState
from tasks.infer import Inferred, advance
from tasks.plan import make_plan
from tasks.preview import preview
from tasks.run import Run
from tasks.storage.base import ObjectInfo
from tasks.stored import StoredResults, result_key
from tests.contracts.memory_storage import MemoryStorage
from tests.emulators.s3 import S3Emulator
from tests.flows.clouds import enter
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
    """A store that counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def stat(self, key: str) -> ObjectInfo:
        self.asked.append(key)
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


class Refusing(Counting):
    """A store that may not be listed; what is there can be looked at, what is not is refused, as S3 does it."""

    def __init__(self, error: AccessDenied) -> None:
        super().__init__()
        self.error = error

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        raise self.error

    def stat(self, key: str) -> ObjectInfo:
        try:
            return super().stat(key)
        except ObjectMissing:
            raise self.error from None


def test_a_store_that_may_not_be_listed_is_looked_at_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """What it shows is taken over; that it may have more is told once."""
    store = Refusing(AccessDenied("no"))
    store.write(result_key("b" * 32), b"x")
    stored = StoredResults(store)
    assert [False, True, False] == [stored.has(letter * 32) for letter in "abc"]
    assert (3, 1) == (len(store.asked), len(caplog.records))


@pytest.mark.parametrize("error", [CredentialsRefused("expired"), StorageUnavailable("away")])
async def test_a_store_that_is_out_of_reach_pays_nothing(rig: Rig, error: Exception) -> None:
    """Neither a plan nor a run goes on without knowing; every video stays planned."""
    run = await without_its_ledger(rig)
    plan = planned(rig, run)
    assert [] == plan.todo

    class Away(MemoryStorage):
        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            raise error

        def stat(self, key: str) -> ObjectInfo:
            raise error

    run.stored = StoredResults(Away())
    for ask in (lambda: make_plan(run, 0), lambda: run.stored.has("a" * 32)):
        with pytest.raises(type(error)):
            ask()
    with pytest.raises(type(error)):
        await inferred(run, plan.reuse)
    assert 2 == rig.backend.taken
    assert {JobState.PLANNED} == {job.state for job in run.ledger.jobs("yard")}


async def test_stored_results_that_may_not_be_read_are_not_paid_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are there; the video fails for now, with that reason."""
    run = await without_its_ledger(rig)
    plan = planned(rig, run)

    def refused(*_: object, **__: object) -> None:
        raise AccessDenied("the key of the bucket may not be used")

    monkeypatch.setattr(run.results, "download", refused)
    with pytest.raises(AccessDenied, match="key of the bucket"):
        await inferred(run, plan.reuse)
    assert 2 == rig.backend.taken
    assert {JobState.PLANNED} == {job.state for job in run.ledger.jobs("yard")}


async def test_stored_and_sent_results_that_are_both_invalid_end_the_job(rig: Rig) -> None:
    """It fails once, and later runs neither adopt nor pay it again."""
    run = await without_its_ledger(rig)
    plan = planned(rig, run)
    for key in plan.reuse:
        run.results.write(result_key(key), b"no gzip")
    rig.backend.downloads = [b"{}", b"{}"]
    for key in plan.reuse:
        with pytest.raises(ResultInvalid):
            await inferred(run, [key])
    assert 4 == rig.backend.taken

    later = rig.run()
    again = planned(rig, later)
    assert ([], []) == (again.todo, again.reuse)
    assert {(JobState.FAILED, "result_invalid")} == {
        (job.state, job.failure.code) for job in later.ledger.jobs("yard") if job.failure
    }


async def test_results_of_another_model_are_not_taken_over(rig: Rig) -> None:
    """Whoever put them under the job's key: they are checked for the model that the job asks for."""
    run = await without_its_ledger(rig)
    plan = planned(rig, run)
    run.results.write(result_key(plan.reuse[0]), gzip.compress(json.dumps(results(key="other")).encode()))
    assert [False, True] == [one.reused for one in await inferred(run, plan.reuse)]


def test_a_plan_makes_no_folder(rig: Rig) -> None:
    """Looking for results changes nothing, where nothing was ever run."""
    run = rig.run()
    run.ledger.close()
    shutil.rmtree(rig.folder / "home")
    seen = preview(run.pipeline, run.spec, run.stores, None, run.clock(), run.settings)
    assert (0, 2) == (seen.reused, seen.estimate.videos)
    assert not (rig.folder / "home").exists()


@dataclass
class CloudRig(Rig):
    """Its results are kept in a cloud."""

    place: str = ""

    def settings(self) -> Settings:
        return Settings.model_validate({"REELROUTE_HOME": self.folder / "home", "REELROUTE_RESULTS_URL": self.place})


async def test_results_in_a_bucket_are_taken_over(
    rig: Rig, s3: S3Emulator, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A store that starts empty; damaged there, they are paid again and overwritten."""
    there = CloudRig(rig.folder, rig.backend, rig.clock, place=f"{enter('s3', request, tmp_path).out}results/")
    assert 2 == len(planned(there, there.run()).todo)
    run = await without_its_ledger(there)
    plan = planned(there, run)
    assert ([], 2) == (plan.todo, len(plan.reuse))
    run.results.write(result_key(plan.reuse[1]), b"\x1f\x8b\x08")
    assert [True, False] == [one.reused for one in await inferred(run, plan.reuse)]
    assert 3 == rig.backend.taken
    assert results() == json.loads(gzip.decompress(run.results.read(result_key(plan.reuse[1]))))
