"""A ledger that fails while the service answers: what was paid is told, kept, and collected by the next run."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.domain.job import JobState
from tasks.job_ids import NAME, RESERVED
from tests.faults.nursery import Nursery
from tests.faults.scene import Scene, film, scripted, submissions
from tests.scripted_service import Fault

pytestmark = pytest.mark.engine

VIDEOS = ("a.mp4", "b.mp4", "c.mp4")


def remove(scene: Scene, _: Nursery) -> None:
    """Somebody tidies up."""
    for path in (scene.folder / "home").glob("ledger.db*"):
        path.unlink()


def fill_up(_: Scene, newborn: Nursery) -> None:
    """No file of the run grows any more, as on a full disk."""
    resource.prlimit(newborn.pid, resource.RLIMIT_FSIZE, (RESERVED, RESERVED))


@pytest.mark.parametrize("trouble", [remove, fill_up])
def test_what_was_paid_when_the_ledger_failed_is_collected_by_the_next_run(
    newborn: Nursery, tmp_path: Path, trouble: Callable[[Scene, Nursery], None]
) -> None:
    """What is at the service is paid once and delivered; where only the intent was recorded, nobody can know."""
    with scripted() as service:
        scene = Scene(tmp_path, footage=film(tmp_path / "videos", VIDEOS), service=service)
        pipeline = scene.write_pipeline()
        service.script("submit", Fault(acts=True, body={"job_id": "job-1"}, then=lambda: trouble(scene, newborn)))

        broken = scene.born(newborn, "run", pipeline, "--json")
        taken = set(service.jobs)
        kept = (scene.folder / "home" / NAME).read_text()
        again = scene.born(newborn, "run", pipeline, "--json")

        assert 2 == broken.code, broken.stderr
        assert "ledger_unusable" == broken.json["stopped"]["code"]
        assert "job-1" in taken
        for job_id in taken:  # ids are no secrets
            assert f"job {job_id} was taken" in broken.stderr, broken.stderr
            assert f'"{job_id}"' in kept
        unknown = {failure["video"] for failure in again.json["failures"]}
        print(f"\n{trouble.__name__}: {len(taken)} jobs were at the service, {len(unknown)} are unknown", end=" ")
        ends = {name: JobState.UNKNOWN if name in unknown else JobState.SUCCEEDED for name in VIDEOS}
        assert (ends, len(unknown)) == (scene.states(), again.json["unknown"]), again.stderr
        assert len(VIDEOS) - len(unknown) == len(service.jobs)  # those were not sent
        settled = scene.born(newborn, "replay", pipeline, "--unknown", "--yes", "--json")
        assert 0 == settled.code, settled.stderr
        assert dict.fromkeys(VIDEOS, JobState.SUCCEEDED) == scene.states()
        assert [1, 1, 1] == sorted(submissions(service).values())
        assert "job-" not in (scene.folder / "home" / NAME).read_text()
