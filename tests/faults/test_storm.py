"""A service at its worst: every video ends delivered or listed with the right code, and none is paid twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import stamina
from pydantic import SecretStr

from config.load import load_pipeline
from config.settings import Settings
from flows.collect import collect
from flows.ingest import ingest
from tasks.domain.job import JobState
from tasks.domain.predictions import TaskType
from tasks.inference.base import ModelInfo
from tasks.inference.roboflow import RoboflowClient
from tasks.ledger.open import open_ledger
from tasks.run import Run
from tasks.spec import inference_spec
from tasks.stores import Stores
from tests.faults.scene import Scene, film, scripted, submissions
from tests.faults.weather import MALFORMED, VERDICTS, Weather, spoil
from tests.scripted_service import KEY, ScriptedService

pytestmark = pytest.mark.engine

SEED = 4
ROUTES = {"results", "lightly", "labelbox"}
# A wait of a minute is over in a twentieth of a second.
FASTER = 1200
# For a service that hangs; far longer than one on this machine ever takes to answer.
TIMEOUT = httpx.Timeout(connect=30, read=8, write=30, pool=None)


@asynccontextmanager
async def in_the_storm(name: str, settings: Settings, service: ScriptedService) -> AsyncIterator[Run]:
    """As `open_run`, with a client that gives up early and waits that pass quickly."""
    pipeline = load_pipeline(name)
    spec, _ = inference_spec(pipeline)
    ledger = open_ledger(settings.ledger_url.get_secret_value())
    backend = RoboflowClient(service.base_url, SecretStr(KEY), timeout=TIMEOUT)
    models = tuple(ModelInfo(ref, TaskType.OBJECT_DETECTION, ("Person",)) for ref in spec.models)
    yield Run(
        pipeline=pipeline,
        settings=settings,
        spec=spec,
        models=models,
        ledger=ledger,
        backend=backend,
        service=service.base_url,
        stores=Stores(pipeline),
        sleep=lambda seconds: asyncio.sleep(seconds / FASTER),
    )
    await backend.aclose()
    ledger.close()


@pytest.mark.parametrize("videos", [60, pytest.param(500, marks=[pytest.mark.bench, pytest.mark.timeout(1800)])])
async def test_a_storm(videos: int, tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken was taken once; what failed says why; what could not be fetched is fetched the day after."""
    names = [f"{number:03}.mp4" for number in range(videos)]
    weather = Weather(SEED)
    failed, malformed = spoil(SEED, videos)
    with scripted() as service, stamina.set_testing(True, attempts=3, cap=True):
        scene = Scene(tmp_path, footage=film(tmp_path / "videos", names), service=service)
        name, settings = (
            scene.write_pipeline(interval="60s"),
            Settings.model_validate({"REELROUTE_HOME": tmp_path / "home"}),
        )
        service.weather, service.polls = weather, 1
        service.verdicts = {job: VERDICTS[kind][0] for job, kind in failed.items()}
        service.bodies = {job: MALFORMED[kind] for job, kind in malformed.items()}
        for flow in ("ingest", "collect"):
            monkeypatch.setattr(f"flows.{flow}.open_run", lambda name, **_: in_the_storm(name, settings, service))

        stopped = True
        while stopped:  # a few answers of others in a row end a run; the next goes on
            night = await ingest(pipeline=name)
            told(f"{videos} videos in the storm", night, service, weather)
            assert {1} == set(submissions(service).values())
            stopped = assert_each_is_accounted_for(night, scene)

        weather.calm = True
        day = await ingest(pipeline=name)
        told("the day after", day, service, weather)
        rest = await collect(pipeline=name)
        assert (0, "collect") == (rest["in_flight"], rest["command"])
        assert rest["exit_code"] in (0, 1)

    assert {1} == set(submissions(service).values())
    assert_codes_are_right(scene, failed, malformed)
    assert weather.lost_answers() == Counter(scene.states().values())[JobState.UNKNOWN]
    assert_sinks_hold_one_copy(scene)


def assert_each_is_accounted_for(summary: dict[str, Any], scene: Scene) -> bool:
    """A video is delivered to every route, or the summary says why not; says whether the run was stopped.

    What a run that was stopped did not come to is planned as before.
    """
    listed = {failure["video"]: failure["code"] for failure in summary["failures"]}
    delivered = {name for name, routes in scene.delivered().items() if routes == ROUTES}
    stopped = summary["stopped"] is not None
    left = {name for name, state in scene.states().items() if state is JobState.PLANNED and name not in listed}

    assert set(scene.states()) == delivered | set(listed) | left
    assert set() == delivered & set(listed)
    assert stopped or not left
    assert summary["exit_code"] == (3 if stopped else 1)
    passing = {"rate_limited", "service_unavailable", "not_the_service", "result_expired"}
    final = {"submission_unknown", "result_invalid", *(code for _, code in VERDICTS)}
    assert set(listed.values()) <= final | passing
    return stopped


def assert_codes_are_right(scene: Scene, failed: dict[str, int], malformed: dict[str, int]) -> None:
    """By the service's own books: what it failed has failed, what it spoiled is refused, the rest is delivered."""
    delivered = scene.delivered()
    for job in scene.jobs():
        found = (job.state, job.failure.code if job.failure else "", delivered[job.video.name])
        if not job.job_id:
            assert (JobState.UNKNOWN, "submission_unknown", set()) == found
        elif job.job_id in failed:
            assert (JobState.FAILED, VERDICTS[failed[job.job_id]][1], set()) == found
        elif job.job_id in malformed:
            assert (JobState.FAILED, "result_invalid", set()) == found
        else:
            assert (JobState.SUCCEEDED, "", ROUTES) == found


def assert_sinks_hold_one_copy(scene: Scene) -> None:
    """Each sink has the delivered videos, once, and nothing else."""
    there = sorted(name for name, routes in scene.delivered().items() if routes)
    stems = [name.removesuffix(".mp4") for name in there]
    frames = [f"{stem}-{frame:02}-mp4.json" for stem in stems for frame in (0, 5, 10)]

    assert there == sorted(json.loads((scene.out / "results" / "results.json").read_bytes()))
    assert [f"{name}.json.gz" for name in there] == sorted(path.name for path in scene.out.glob("results/*.gz"))
    assert [f"{name}.ndjson" for name in there] == sorted(path.name for path in scene.out.glob("labelbox/*.ndjson"))
    tasks = scene.out / "lightly" / ".lightly" / "predictions" / "yard"
    assert frames == sorted(path.name for path in tasks.glob("*-mp4.json"))


def told(when: str, summary: dict[str, Any], service: ScriptedService, weather: Weather) -> None:
    """Print the figures."""
    codes = Counter(failure["code"] for failure in summary["failures"])
    accepted = submissions(service)
    faults = sum(count for (_, what), count in weather.seen.items() if what != "well")
    print(
        f"\n{when}: {summary['succeeded']} succeeded, {sum(codes.values())} listed {dict(codes)}, "
        f"{len(service.jobs) / max(1, len(accepted)):.3f} submissions per accepted video, "
        f"{faults} faults in {sum(weather.seen.values())} calls, {summary['seconds']} s"
    )
    print("  " + ", ".join(f"{call} {what}: {count}" for (call, what), count in sorted(weather.seen.items())))
