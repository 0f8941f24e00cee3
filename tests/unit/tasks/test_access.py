"""A video that may not be read is its own failure; credentials that end leave all videos planned."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import Any

import pytest

from tasks.domain.errors import AccessDenied, CredentialsRefused, NotSignable, ReelrouteError
from tasks.domain.job import JobState
from tasks.plan import make_plan
from tasks.run import Run
from tasks.storage import ranged
from tasks.storage.local import LocalStorage
from tasks.submit import submit_job
from tests.clips import write_clip
from tests.rig import Rig

DENIED, EXPIRED = AccessDenied("403"), CredentialsRefused("the token has expired")
DAY = timedelta(days=1)
NAMES = ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]


@pytest.fixture
def four(rig: Rig) -> Rig:
    """A folder with four clips and nothing else."""
    shutil.rmtree(rig.videos)
    rig.videos.mkdir()
    first = write_clip(rig.videos / NAMES[0], frames=25)
    for name in NAMES[1:]:
        (rig.videos / name).write_bytes(first.read_bytes())
    return rig


def locked(
    monkeypatch: pytest.MonkeyPatch, reading: dict[str, ReelrouteError], telling: dict[str, ReelrouteError]
) -> None:
    """A store that refuses to give (or even to tell of) some objects, from the first look at one of them on."""
    ended: set[str] = set()

    def open_ranged(store: LocalStorage, key: str, size: int) -> Any:
        if key in reading:
            ended.update(telling)
            raise reading[key]
        return given(store, key, size)

    def stat(store: LocalStorage, key: str) -> Any:
        if key in ended:
            raise telling[key]
        return told(store, key)

    given, told = ranged.open_ranged, LocalStorage.stat
    monkeypatch.setattr("tasks.plan.open_ranged", open_ranged)
    monkeypatch.setattr(LocalStorage, "stat", stat)
    monkeypatch.setattr("tasks.plan.PROBES_AT_ONCE", 1)


def deny_facts(monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    """A store that does not even tell of some objects, and gives all others."""

    def stat(store: LocalStorage, key: str) -> Any:
        if key in names:
            raise DENIED
        return told(store, key)

    told = LocalStorage.stat
    monkeypatch.setattr(LocalStorage, "stat", stat)


def states(run: Run) -> dict[str, str]:
    """Video -> where its job stands."""
    return {job.video.name: str(job.state) for job in run.ledger.jobs("yard")}


@pytest.mark.parametrize("which", NAMES)
def test_one_video_that_is_denied_is_its_own_failure(four: Rig, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """First, last or in between: the others are readable, and planned."""
    run = four.run()
    four.listed(run)
    locked(monkeypatch, {which: DENIED}, {})

    plan = make_plan(run, 0)

    assert (None, 3) == (plan.stopped, len(plan.todo))
    assert {name: "failed" if name == which else "planned" for name in NAMES} == states(run)


def test_videos_whose_bytes_alone_are_denied_are_their_own_failures(four: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in an archive tier: the store tells of them, so that access has not ended."""
    run = four.run()
    four.listed(run)
    locked(monkeypatch, dict.fromkeys(NAMES, DENIED), {})

    assert make_plan(run, 0).stopped is None
    assert {"failed"} == set(states(run).values())


@pytest.mark.parametrize("error", [DENIED, EXPIRED])
@pytest.mark.parametrize("since", range(4))
def test_access_that_ends_leaves_every_video_planned(
    four: Rig, monkeypatch: pytest.MonkeyPatch, error: ReelrouteError, since: int
) -> None:
    """From the first video on, or from any later one: nothing fails, nothing is submitted, and the plan says why."""
    run = four.run()
    four.listed(run)
    locked(monkeypatch, dict.fromkeys(NAMES[since:], error), dict.fromkeys(NAMES, error))

    plan = make_plan(run, 0)

    assert (error, [], 3) == (plan.stopped, plan.todo, error.exit_code)
    assert dict.fromkeys(NAMES, "planned") == states(run)


def known(four: Rig) -> Run:
    """A later run, to which all videos are known from an earlier plan."""
    first = four.run()
    four.listed(first)
    assert 4 == len(make_plan(first, 0).todo)
    four.clock.now += DAY
    return four.run()


@pytest.mark.parametrize("all_are", [False, True])
def test_one_new_video_that_is_denied_is_compared_with_those_that_were_known(
    four: Rig, monkeypatch: pytest.MonkeyPatch, all_are: bool
) -> None:
    """Most nights bring little: nothing else is read that could tell."""
    run = known(four)
    shutil.copyfile(four.videos / NAMES[0], four.videos / "new.mp4")
    four.listed(run)
    others = NAMES if all_are else []
    locked(monkeypatch, {"new.mp4": DENIED}, dict.fromkeys([*others, "new.mp4"], DENIED))

    plan = make_plan(run, 0)

    assert (DENIED if all_are else None) == plan.stopped
    assert ("planned" if all_are else "failed") == states(run)["new.mp4"]


@pytest.mark.parametrize("which", NAMES)
async def test_one_known_video_that_is_denied_before_it_is_signed_has_failed(
    four: Rig, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """What an earlier plan knew of it is no access: others can be signed."""
    run = known(four)
    four.listed(run)
    (job,) = [job for job in run.ledger.jobs("yard") if job.video.name == which]
    held = run.ledger.claim(job.key, run.owner, run.lease, run.clock())
    assert held is not None
    deny_facts(monkeypatch, [which])

    with pytest.raises(AccessDenied) as caught:
        await submit_job(run, held)

    assert AccessDenied is caught.type
    assert {name: "failed" if name == which else "planned" for name in NAMES} == states(run)
    assert [] == four.backend.asked


async def test_access_that_ends_before_a_video_is_signed_leaves_all_planned(
    four: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked without a word of credentials: no other can be signed either, and the run is stopped by the kind."""
    run = known(four)
    four.listed(run)
    job = next(iter(run.ledger.jobs("yard")))
    held = run.ledger.claim(job.key, run.owner, run.lease, run.clock())
    assert held is not None
    deny_facts(monkeypatch, NAMES)

    with pytest.raises(CredentialsRefused, match="403") as caught:
        await submit_job(run, held)

    assert 3 == caught.value.exit_code
    assert dict.fromkeys(NAMES, "planned") == states(run)
    assert [] == four.backend.asked


@pytest.mark.parametrize("error", [EXPIRED, NotSignable("the key is gone")])
async def test_credentials_that_end_before_a_video_is_signed_leave_it_planned(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: ReelrouteError
) -> None:
    """Whether a run is stopped is told by the kind of the error; nothing is asked of the service."""
    run = rig.run()
    job = rig.listed(run)[0]
    held = run.ledger.claim(job.key, run.owner, run.lease, run.clock())
    assert held is not None

    def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr(run.stores, "grant_planned", refuse)
    with pytest.raises(CredentialsRefused, match=error.message):
        await submit_job(run, held)

    kept = run.ledger.job(job.key)
    assert kept is not None
    assert (JobState.PLANNED, []) == (kept.state, rig.backend.asked)
