"""Collection: wait with patience, trust no answer unchecked, and store before saying so."""

from __future__ import annotations

import gzip
import json

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
)
from tasks.domain.job import JobState
from tasks.ledger.base import JobRecord
from tasks.run import Run
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
    "error", [JobFailed("no frames", code="video_truncated", hint="upload again"), JobUnknown("404")]
)
async def test_a_failed_job_is_a_failure_and_never_a_result(rig: Rig, error: ReelrouteError) -> None:
    """The service's code and words are kept for people."""
    run = rig.run()
    rig.backend.checks = [error]
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
    ],
    ids=["empty", "status", "html", "lists differ", "cut", "other model"],
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
    rig.backend.checks = [AuthRefused("401")]
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
