"""The flows' own work, on a real Prefect server: fan-out, routing, isolation, entrypoints."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import stamina

from deployments.cli.status import read
from flows.pool import Pool
from flows.routing import Router
from tasks.domain.errors import (
    AuthRefused,
    DeliveryFailed,
    JobFailed,
    ServiceUnavailable,
    StorageUnavailable,
    SubmissionUnknown,
)
from tasks.domain.job import DeliveryState, JobState
from tasks.plan import make_plan
from tasks.report import Outcome
from tasks.run import Run
from tasks.sinks.base import Delivery, Receipt
from tasks.sinks.results import ResultsSink
from tests.clips import write_clip
from tests.rig import Rig, results

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _prepared(prefect_server: str) -> object:
    """A Prefect server is there, and retries do not wait."""
    with stamina.set_testing(True, attempts=2, cap=True):
        yield


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of video, made once."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=25)


@pytest.fixture
def rig(tmp_path: Path, clip: Path) -> Rig:
    """Three videos."""
    rig = Rig(tmp_path)
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        rig.videos.mkdir(exist_ok=True)
        shutil.copy(clip, rig.videos / name)
    return rig


def go(run: Run, rig: Rig) -> Outcome:
    """Discover, plan, infer and route, as the flow does."""

    async def steps() -> Outcome:
        outcome = Outcome()
        rig.listed(run)
        plan = make_plan(run, 0)
        async with Router(run, outcome) as router:
            await Pool(run, outcome, router.put).infer_all(plan.todo)
        return outcome

    return asyncio.run(steps())


def states(run: Run) -> dict[str, JobState]:
    """Video name -> where its job stands."""
    return {job.video.name: job.state for job in run.ledger.jobs("yard")}


def test_every_video_is_submitted_once_and_delivered_to_every_route(rig: Rig) -> None:
    """The plain good case."""
    run = rig.run(inference=", max_in_flight: 2")
    outcome = go(run, rig)

    assert (3, 3, 3) == (outcome.submitted, outcome.succeeded, rig.backend.taken)
    assert {"results": 3, "lightly": 3, "labelbox": 3} == outcome.delivered
    assert (rig.out / "results" / "a.mp4.json.gz").is_file()


def test_one_bad_job_does_not_stop_the_others(rig: Rig) -> None:
    """Two are delivered, one is in the dead letters."""
    run = rig.run(inference=", max_in_flight: 1")
    rig.backend.checks = [JobFailed("broken", code="video_truncated")]
    outcome = go(run, rig)

    assert 2 == outcome.delivered["results"]
    assert [JobState.FAILED, JobState.SUCCEEDED, JobState.SUCCEEDED] == sorted(states(run).values())


def test_frames_that_were_not_inferred_are_told(rig: Rig) -> None:
    """Null in some frames is a warning with their number; the rest is delivered."""
    some = results([0, 5, 10, 15, 20])
    some["oidv4"][1] = some["oidv4"][3] = None
    rig.backend.downloads = [json.dumps(some).encode()]
    outcome = go(rig.run(inference=", max_in_flight: 1"), rig)

    assert 3 == outcome.delivered["results"]
    (told,) = outcome.warnings
    assert "2 of 5 frames" in told


def test_results_of_another_video_are_delivered_nowhere(rig: Rig) -> None:
    """Frame 4,995 of 25, and one frame of five: failures with a code, and nothing stored."""
    run = rig.run(inference=", max_in_flight: 1")
    rig.backend.downloads = [json.dumps(results(frames)).encode() for frames in ([0, 5, 4995], [0])]
    outcome = go(run, rig)

    failed = [job.failure.code for job in run.ledger.jobs("yard") if job.failure]
    assert (["result_invalid"] * 2, 1) == (failed, outcome.delivered["results"])
    assert 1 == len(list(run.results.list()))


def test_a_version_that_comes_back_is_shown_again_without_being_paid(rig: Rig) -> None:
    """A, then B in its place, then A again: routes show what was listed last, and status leaves the other out."""
    path = rig.videos / "a.mp4"
    first, stamp = path.read_bytes(), path.stat().st_mtime_ns
    shown = rig.out / "results" / "a.mp4.json.gz"

    def night(frames: list[int]) -> bytes:
        rig.clock.now += timedelta(days=1)
        rig.backend.downloads = [json.dumps(results(frames)).encode()] * 3
        go(rig.run(inference=", max_in_flight: 1"), rig)
        return gzip.decompress(shown.read_bytes())

    a = night([0, 5, 10, 15])
    write_clip(path, frames=26)
    b = night([0, 5, 10, 15, 20])
    path.write_bytes(first)
    os.utime(path, ns=(stamp, stamp))
    again = night([0])

    assert a != b
    assert (a, 4) == (again, rig.backend.taken)
    told = read(rig.run().ledger, "yard")
    assert (3, 1) == (told["jobs"]["succeeded"], told["replaced"])


def test_a_lost_answer_is_counted_as_submitted_nowhere(rig: Rig) -> None:
    """An unknown job is neither submitted nor failed, and is not tried again by the task's retries."""
    run = rig.run(inference=", max_in_flight: 1")
    rig.backend.submits = [SubmissionUnknown("lost")]
    outcome = go(run, rig)

    assert (2, 3) == (outcome.submitted, len(rig.backend.asked))
    assert 1 == list(states(run).values()).count(JobState.UNKNOWN)


def test_a_wrong_key_stops_the_run_and_leaves_the_videos_to_be_done(rig: Rig) -> None:
    """After the first refusal nothing more is sent; nothing is marked as failed."""
    run = rig.run(inference=", max_in_flight: 1")
    rig.backend.submits = [AuthRefused("no")] * 9
    outcome = go(run, rig)

    assert isinstance(outcome.stopped, AuthRefused)
    assert 1 == len(rig.backend.asked)
    assert {JobState.PLANNED} == set(states(run).values())


def test_an_error_that_nobody_foresaw_costs_one_video(rig: Rig) -> None:
    """A fault of ours in one video's task is reported, and the others go on."""
    run = rig.run(inference=", max_in_flight: 1")
    calls = []

    def explode_once() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError

    rig.backend.before_answer = explode_once
    outcome = go(run, rig)

    assert ["unexpected"] == [failure.code for failure in outcome.passing.values()]
    assert 2 == outcome.succeeded


def test_results_of_a_dead_run_are_routed_by_the_next(rig: Rig) -> None:
    """Stored but not delivered is finished later, without another submission."""
    first = rig.run()
    rig.listed(first)
    plan = make_plan(first, 0)
    asyncio.run(Pool(first, Outcome(), lambda _: None).infer_all(plan.todo))
    outcome = go(rig.run(), rig)

    assert (0, 3, 3) == (outcome.submitted, outcome.delivered["lightly"], rig.backend.taken)


def test_a_delivery_that_died_half_way_is_made_again(rig: Rig) -> None:
    """A claim whose owner is gone is taken over once its lease has passed."""
    first = rig.run()
    rig.listed(first)
    asyncio.run(Pool(first, Outcome(), lambda _: None).infer_all(make_plan(first, 0).todo))
    for delivery in list(first.ledger.deliveries("yard")):
        first.ledger.claim_delivery("yard", delivery.job_key, delivery.route, "dead", first.lease, rig.clock())
    rig.clock.now += 2 * first.lease
    outcome = go(rig.run(), rig)

    assert {"results": 3, "lightly": 3, "labelbox": 3} == outcome.delivered


class Moody:
    """A sink that raises what it is told for some videos."""

    def __init__(self, errors: dict[str, Exception]) -> None:
        self.errors = errors

    def deliver(self, delivery: Delivery) -> Receipt:
        if (error := self.errors.get(delivery.video.name)) is not None:
            raise error
        return Receipt(outputs=("file:///x",))

    def finish(self, delivered: object) -> Receipt | None:
        if (error := self.errors.get("finish")) is not None:
            raise error
        return Receipt(outputs=(), warnings=("spanning",))


@pytest.mark.parametrize(
    ("error", "leaves", "code"),
    [
        (DeliveryFailed("will not fit"), DeliveryState.FAILED, "delivery_failed"),
        (StorageUnavailable("busy"), DeliveryState.PENDING, "storage_unavailable"),
        (KeyError("bug"), DeliveryState.FAILED, "unexpected"),
    ],
)
@pytest.mark.parametrize("where", ["a.mp4", "finish"])
def test_trouble_of_a_sink_stays_with_its_route(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception, leaves: DeliveryState, code: str, where: str
) -> None:
    """What may pass is tried by the next run, the rest waits for people; other routes have everything."""
    run = rig.run()
    moody = Moody({where: error})
    real = __import__("tasks.sink_setup", fromlist=["open_sinks"]).open_sinks
    monkeypatch.setattr("flows.routing.open_sinks", lambda run: real(run) | {"lightly": moody})
    outcome = go(run, rig)

    hit = 1 if where == "a.mp4" else 3
    found = [d for d in run.ledger.deliveries("yard") if d.failure is not None]
    assert {(leaves, code)} == {(d.state, d.failure.code) for d in found if d.failure}
    assert hit == len(found)
    assert (3 - hit, 3) == (outcome.delivered["lightly"], outcome.delivered["results"])


def test_what_spans_videos_is_complete_before_a_delivery_counts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """`results.json` that could not be written leaves its videos undelivered, and the next run mends it."""
    broken = [StorageUnavailable("busy")] * 2
    real = ResultsSink.finish

    def finish(self: ResultsSink, delivered: object) -> Receipt | None:
        if broken:
            raise broken.pop()
        return real(self, delivered)  # type: ignore[arg-type]

    monkeypatch.setattr(ResultsSink, "finish", finish)
    first = go(rig.run(inference=", max_in_flight: 1"), rig)
    second = go(rig.run(), rig)

    assert 3 == first.delivered["results"] + second.delivered["results"]
    assert 0 < second.delivered["results"]
    assert '"a.mp4"' in (rig.out / "results" / "results.json").read_text()


def test_a_service_that_goes_away_ends_submissions_and_is_told(rig: Rig) -> None:
    """What could not be submitted is planned for the next run."""
    run = rig.run(inference=", max_in_flight: 1")
    rig.backend.submits = [None, *[ServiceUnavailable("gone")] * 99]
    outcome = go(run, rig)

    assert isinstance(outcome.stopped, ServiceUnavailable)
    assert 1 == outcome.succeeded
    assert 2 == list(states(run).values()).count(JobState.PLANNED)


def test_older_results_do_not_replace_newer_ones(rig: Rig) -> None:
    """A job of yesterday's settings that ends late is kept, and not delivered over today's."""
    first = rig.run()
    rig.listed(first)
    plan = make_plan(first, 0)
    asyncio.run(Pool(first, Outcome(), lambda _: None, wait=False).infer_all(plan.todo))
    outcome = go(rig.run(inference=", confidence: 0.9"), rig)

    assert 6 == outcome.succeeded
    assert 3 == outcome.delivered["results"]


def test_the_flow_loads_the_way_prefect_loads_it() -> None:
    """A module of flows/ that shadowed a package would break only here, and at night."""
    from prefect.flows import load_flow_from_entrypoint

    root = Path(__file__).parents[2]
    for path in sorted((root / "flows").glob("*.py")):
        if "@flow" in path.read_text():
            assert path.stem.replace("_", "-") == load_flow_from_entrypoint(f"{path}:{path.stem}").name
