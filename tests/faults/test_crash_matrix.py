"""Killed at any step and run again: each video is paid once, none is lost, and every sink holds one copy."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.domain.job import JobState
from tests.faults.marks import MARKS, ROUTES, SECOND
from tests.faults.nursery import Nursery
from tests.faults.scene import Scene, files_below, film, scripted, submissions, tree
from tests.scripted_service import Fault, ScriptedService

pytestmark = pytest.mark.engine

VIDEOS = ("a.mp4", "b.mp4", "c.mp4")
# Between the intent and the job id nobody can know whether the service took the job.
AMBIGUOUS = {
    "after the intent",
    "before the request",
    "after the answer",
    "the job id not committed",
    "in mid-upload",
    "the request read and not taken",
    "the request read and taken",
    "half of the answer sent",
}
# A kill from outside, at the moment when the service has read a call: the call, and how the service treats it.
OUTSIDE: dict[str, tuple[str, dict[str, Any]]] = {
    "in mid-upload": ("upload", {}),
    "the request read and not taken": ("submit", {}),
    "the request read and taken": ("submit", {"acts": True}),
    "half of the answer sent": (
        "submit",
        {"acts": True, "body": b'{"job_id": "job-2", "message": "x"}', "drop": "midway"},
    ),
    "a poll read": ("check", {}),
    "in mid-download": ("result", {"drop": "midway"}),
}
# What is tried wherever the tests run; `make bench-faults` tries everything.
USUAL = (
    "the request read and taken",
    "after the job id",
    "in mid-download",
    "amid storing",
    "lightly: amid",
    "video: amid",
)


@dataclass(frozen=True)
class Stage:
    """What is the same for every step.

    Attributes:
        footage: Folder of the three videos.
        service: Forgets its jobs between steps.
        whole: What an undisturbed run leaves in the sinks.
    """

    footage: Path
    service: ScriptedService
    newborn: Nursery
    whole: dict[str, bytes]

    def scene(self, folder: Path) -> Scene:
        """An empty home and empty sinks."""
        self.service.forget()
        self.service.polls = 1
        return Scene(folder, footage=self.footage, service=self.service)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, newborn: Nursery) -> Iterator[Stage]:
    """Three videos, a service, and what a run of them leaves when nothing happens to it."""
    footage = film(tmp_path_factory.mktemp("footage") / "videos", VIDEOS)
    with scripted() as service:
        empty = Stage(footage, service, newborn, {})
        scene = empty.scene(tmp_path_factory.mktemp("undisturbed"))
        ended = scene.born(newborn, "run", one_at_a_time(scene), "--json")
        assert 0 == ended.code, ended.stderr
        yield Stage(footage, service, newborn, tree(scene.out))


def one_at_a_time(scene: Scene) -> str:
    """The pipeline; with one job at the service at a time, a mark is always met at the same moment."""
    return scene.write_pipeline(limit=1, videos_too=True)


def killed(stage: Stage, scene: Scene, step: str) -> None:
    """Run the pipeline until it is killed at a step, and make sure that it was."""
    if step in OUTSIDE:
        call, how = OUTSIDE[step]
        if step == "in mid-download":
            # Large enough for the first half to be on the disk already.
            how = {**how, "body": stage.service.results + b" " * (4 << 20)}
        before = [None] if call != "check" else [None, None]
        stage.service.script(call, *before, Fault(hang=True, then=lambda: kill(stage.newborn, scene, step), **how))
    ended = scene.born(stage.newborn, "run", one_at_a_time(scene), "--json", mark=step if step in MARKS else "")
    assert -signal.SIGKILL == ended.code, ended.stderr


def kill(newborn: Nursery, scene: Scene, step: str) -> None:
    """Kill the command, in mid-download when the first half is on its disk."""
    if step == "in mid-download":
        until(lambda: any(path.stat().st_size for path in files_below(scene.folder / "home" / "work")))
    os.kill(newborn.pid, signal.SIGKILL)


def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; give up after a minute."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# Those that are not tried everywhere are marked as such.
STEPS = [pytest.param(step, marks=[] if step in USUAL else pytest.mark.bench) for step in (*MARKS, *OUTSIDE)]


@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_is_killed_is_finished_by_the_next_one(stage: Stage, tmp_path: Path, step: str) -> None:
    """One submission per video, nothing lost, one copy in every sink; `unknown` in the ambiguous moment alone."""
    scene = stage.scene(tmp_path)
    killed(stage, scene, step)

    again = scene.born(stage.newborn, "run", one_at_a_time(scene), "--json")

    paid = submissions(stage.service)
    print(f"\n{step}: {len(stage.service.jobs)} jobs for {len(paid)} videos, {again.json['unknown']} unknown", end=" ")
    assert {1} == set(paid.values())
    # Nobody waited for the dead run's leases: what it held was finished by this very run.
    assert (0, 0) == (again.json["elsewhere"], again.json["in_flight"])
    assert [] == scene.leavings()
    unknown = {SECOND} if step in AMBIGUOUS else set()
    assert unknown == {name for name, state in scene.states().items() if state is JobState.UNKNOWN}
    assert unknown == {failure["video"] for failure in again.json["failures"]}
    assert {name: set() if name in unknown else set(ROUTES) for name in VIDEOS} == scene.delivered()
    assert len(unknown) == again.code
    if not unknown:
        assert len(VIDEOS) == len(stage.service.jobs)
        assert stage.whole == tree(scene.out)
        return
    settled = scene.born(stage.newborn, "replay", one_at_a_time(scene), "--unknown", "--yes", "--json")
    assert (0, 1) == (settled.code, settled.json["submitted"]), settled.stderr
    assert stage.whole == tree(scene.out)
