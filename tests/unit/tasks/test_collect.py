"""Collection: wait with patience, trust no answer unchecked, and store before saying so."""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import os
import signal
from dataclasses import replace
from typing import Any

import pytest

from tasks.collect import DOWNLOADS, collect_job, fetch_results, read_results
from tasks.domain.errors import (
    AuthRefused,
    DeadlinePassed,
    JobFailed,
    JobUnknown,
    RateLimited,
    ReelrouteError,
    ResultExpired,
    ResultInvalid,
    ServiceUnavailable,
    StorageUnavailable,
    VideoReplaced,
)
from tasks.domain.job import JobState
from tasks.ledger.base import JobRecord
from tasks.poll import TIMES
from tasks.replay import Wanted, select
from tasks.run import Run
from tasks.stop import Stop
from tasks.submit import submit_job
from tests.rig import Rig, results


async def submitted(rig: Rig, run: Run) -> JobRecord:
    """A job that the service has taken, with its lease ours."""
    job = rig.listed(run)[0]
    claimed = run.ledger.claim(job.key, run.owner, run.lease, run.clock())
    assert claimed is not None
    return await submit_job(run, claimed)


def kept(run: Run, job: JobRecord) -> JobRecord:
    """The job as the ledger has it now."""
    found = run.ledger.job(job.key)
    assert found is not None
    return found


async def test_results_are_stored_as_they_came(rig: Rig) -> None:
    """The results store holds the service's bytes, and the ledger says where."""
    run = rig.run()
    raw = json.dumps(results(), indent=3).encode()
    rig.backend.downloads = [raw]

    job = await collect_job(run, await submitted(rig, run))

    assert JobState.SUCCEEDED is kept(run, job).state
    assert raw == gzip.decompress(run.results.read(kept(run, job).result_key))


async def test_stored_results_come_back_as_they_were(rig: Rig) -> None:
    """What is routed is what was downloaded."""
    run = rig.run()
    job = await collect_job(run, await submitted(rig, run))

    with run.work_folder() as folder:
        fetch_results(run, job, folder / "back.json")
        assert results() == json.loads((folder / "back.json").read_text())


async def test_the_interval_is_kept_between_questions(rig: Rig) -> None:
    """Three questions that say "not yet" are three intervals of waiting."""
    run = rig.run()
    rig.backend.checks = [False, False, False, True]

    await collect_job(run, await submitted(rig, run))

    assert [10.0, 10.0, 10.0] == rig.clock.slept


@pytest.mark.parametrize("fault", [RateLimited("429", retry_after_s=5.0), ServiceUnavailable("502")])
async def test_a_passing_fault_of_the_service_is_no_answer(rig: Rig, fault: ReelrouteError) -> None:
    """A poll that fails does not fail the job."""
    run = rig.run()
    rig.backend.checks = [fault, fault, True]

    job = await collect_job(run, await submitted(rig, run))

    assert JobState.SUCCEEDED is kept(run, job).state


async def test_a_job_that_never_ends_expires_at_its_deadline(rig: Rig) -> None:
    """Nobody polls for ever, and the reason is in the dead letters."""
    run = rig.run()
    rig.backend.checks = [False] * 1000
    job = await submitted(rig, run)

    with pytest.raises(DeadlinePassed):
        await collect_job(run, job)

    assert JobState.EXPIRED is kept(run, job).state
    failure = kept(run, job).failure
    assert failure is not None
    assert "deadline_passed" == failure.code
    assert 600 < sum(rig.clock.slept) < 630


@pytest.mark.parametrize(
    ("error", "times"),
    [(JobFailed("no frames", code="video_truncated", hint="upload again"), 1), (JobUnknown("404"), TIMES)],
)
async def test_a_failed_job_is_a_failure_and_never_a_result(rig: Rig, error: ReelrouteError, times: int) -> None:
    """The service's code and words are kept for people."""
    run = rig.run()
    rig.backend.checks = [error] * times
    job = await submitted(rig, run)

    with pytest.raises(type(error)):
        await collect_job(run, job)

    failure = kept(run, job).failure
    assert failure is not None
    assert JobState.FAILED is kept(run, job).state
    assert ("poll", error.code, error.message, error.hint) == (
        failure.stage,
        failure.code,
        failure.message,
        failure.hint,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"status": 2, "job_id": "x", "message": "failed"}',
        b"<html>Bad Gateway</html>",
        b'{"frame_offset": [0, 5], "time_offset": [0.0], "oidv4": [null, null]}',
        b'{"frame_offset": [0], "oidv4": [null',
        json.dumps(results(key="another-model")).encode(),
        json.dumps(results() | {"oidv4": [None, None, None]}).encode(),
    ],
    ids=["empty", "status", "html", "lists differ", "cut", "other model", "all null"],
)
async def test_what_is_no_results_json_is_not_stored(rig: Rig, body: bytes) -> None:
    """A wrong result is never taken for predictions."""
    run = rig.run()
    rig.backend.downloads = [body]
    job = await submitted(rig, run)

    with pytest.raises(ResultInvalid):
        await collect_job(run, job)

    assert (JobState.FAILED, "") == (kept(run, job).state, kept(run, job).result_key)
    assert [] == list(run.results.list())


async def test_an_expired_result_url_is_asked_for_again(rig: Rig) -> None:
    """The job is asked for a fresh URL, not given up."""
    run = rig.run()
    rig.backend.downloads = [ResultExpired("403"), ResultExpired("403")]

    job = await collect_job(run, await submitted(rig, run))

    assert JobState.SUCCEEDED is kept(run, job).state


async def test_a_bucket_that_is_down_is_waited_for(rig: Rig) -> None:
    """However often the download fails for a reason that passes: the deadline counts, not the attempts."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.backend.downloads = [*[ServiceUnavailable("502")] * 20, RateLimited("429", retry_after_s=30.0)]

    assert JobState.SUCCEEDED is (await collect_job(run, job)).state
    assert 21 == len(rig.clock.slept)
    assert 30.0 == rig.clock.slept[-1]


async def test_a_bucket_that_stays_down_lets_the_job_expire(rig: Rig) -> None:
    """It can be replayed: the service has the results."""
    run = rig.run()
    job = await submitted(rig, run)
    rig.backend.downloads = [ServiceUnavailable("502")] * 500

    with pytest.raises(DeadlinePassed):
        await collect_job(run, job)
    assert JobState.EXPIRED is kept(run, job).state


async def test_results_that_can_never_be_fetched_leave_the_job_submitted(rig: Rig) -> None:
    """The job was paid for and is done: a later run may still get it."""
    run = rig.run()
    rig.backend.downloads = [ResultExpired("403")] * DOWNLOADS
    job = await submitted(rig, run)

    with pytest.raises(ResultExpired):
        await collect_job(run, job)

    assert JobState.SUBMITTED is kept(run, job).state


async def test_a_key_that_is_revoked_meanwhile_leaves_the_job_submitted(rig: Rig) -> None:
    """With the right key back, the job is collected as if nothing had been."""
    run = rig.run()
    rig.backend.checks = [AuthRefused("401")] * TIMES
    job = await submitted(rig, run)

    with pytest.raises(AuthRefused):
        await collect_job(run, job)

    assert JobState.SUBMITTED is kept(run, job).state


async def test_work_files_are_gone_afterwards(rig: Rig) -> None:
    """A night of thousands of results does not fill the disk."""
    run = rig.run()

    await collect_job(run, await submitted(rig, run))

    assert [] == list((rig.folder / "home" / "work").iterdir())


def test_missing_predictions_of_a_model_are_named(rig: Rig) -> None:
    """A results JSON with another model's key is not what was paid for."""
    run = rig.run()
    job = rig.listed(run)[0]
    path = rig.folder / "r.json"
    path.write_text(json.dumps(results(key="other")))

    with pytest.raises(ResultInvalid, match="oidv4"):
        read_results(run, job, path)


async def test_a_full_disk_leaves_the_job_at_the_service(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was paid for is fetched by a later run, once there is room; the error says what to do."""
    run = rig.run()
    job = await submitted(rig, run)

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("tasks.collect.shutil.copyfileobj", no_room)
        with pytest.raises(StorageUnavailable, match="No space left") as raised:
            await collect_job(run, job)

    assert ("storage_unavailable", 3) == (raised.value.code, raised.value.exit_code)
    assert "make room" in raised.value.hint
    assert JobState.SUBMITTED is kept(run, job).state
    assert [] == list(run.results.list())
    assert JobState.SUCCEEDED is (await collect_job(run, kept(run, job))).state


async def test_damaged_stored_results_are_named(rig: Rig) -> None:
    """A results store that lost bytes does not take the whole route down."""
    run = rig.run()
    job = await collect_job(run, await submitted(rig, run))
    packed = run.results.read(job.result_key)
    run.results.write(job.result_key, packed[:-20])

    with run.work_folder() as folder, pytest.raises(ResultInvalid, match="damaged"):
        fetch_results(run, job, folder / "back.json")


async def test_asked_to_stop_a_waiting_job_is_left_at_the_service(rig: Rig) -> None:
    """The wait ends at once and decides nothing."""
    run = rig.run()
    rig.backend.checks = [False] * 5
    job = await submitted(rig, run)
    run.sleep = lambda _: _stop_then_sleep(run)

    left = await collect_job(run, job)

    assert (JobState.SUBMITTED, JobState.SUBMITTED) == (left.state, kept(run, job).state)
    assert 4 == len(rig.backend.checks)


async def _stop_then_sleep(run: Run) -> None:
    asyncio.get_running_loop().call_soon(run.stop.ask, signal.SIGTERM)
    await asyncio.sleep(3600)


async def test_a_download_that_hangs_is_cut_short_and_the_job_stays(rig: Rig) -> None:
    """A later run downloads it again; nothing half of it is stored."""
    run = rig.run()
    run.stop = Stop(grace_s=0.01)

    async def hang(*_: Any, **__: Any) -> int:
        run.stop.ask(signal.SIGTERM)
        await asyncio.sleep(3600)
        return 0

    rig.backend.download = hang  # type: ignore[method-assign]
    job = await submitted(rig, run)

    left = await collect_job(run, job)

    assert (JobState.SUBMITTED, []) == (left.state, list(run.results.list()))
    assert [] == list((rig.folder / "home" / "work").iterdir())


@pytest.mark.parametrize("bound", [False, True])
async def test_results_of_a_video_that_was_replaced_meanwhile_are_not_stored(rig: Rig, bound: bool) -> None:
    """Which version was inferred nobody can tell; unless the URL gave the planned one alone."""
    run = rig.run()
    job = replace(await submitted(rig, run), bound=bound)
    (rig.videos / job.video.name).write_bytes(b"another film")

    if bound:
        assert JobState.SUCCEEDED is (await collect_job(run, job)).state
        return
    with pytest.raises(VideoReplaced):
        await collect_job(run, job)
    failure = kept(run, job).failure
    assert failure is not None
    assert ("check", "video_replaced", []) == (failure.stage, failure.code, list(run.results.list()))
    chosen = select(run.ledger, run.pipeline, run.spec, Wanted(failed=True))
    assert ([], [job.key]) == (chosen.ask, chosen.submit)


async def test_results_of_a_video_that_was_deleted_meanwhile_are_kept(rig: Rig) -> None:
    """Nothing else can have been inferred."""
    run = rig.run()
    job = await submitted(rig, run)
    (rig.videos / job.video.name).unlink()

    assert JobState.SUCCEEDED is (await collect_job(run, job)).state
