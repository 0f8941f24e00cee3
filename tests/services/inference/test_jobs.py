"""Jobs on disk."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.services.inference.jobs import Claim, JobEnd, JobRequest, JobStore, private_folder
from tasks.domain.errors import InputInvalid, JobUnknown

REQUEST = JobRequest(models={"oidv4": "/m.onnx"}, fps=5.0, confidence=0.4, url="https://bucket.test/a.mp4?sig=s3cret")


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path)


def _claimed(store: JobStore) -> Claim:
    claim = store.claim()
    assert claim is not None
    return claim


def test_a_job_is_claimed_with_what_was_asked(store: JobStore) -> None:
    """Nothing of the request is lost on disk."""
    job_id = store.create(REQUEST)
    claim = _claimed(store)
    assert (job_id, REQUEST, 1) == (claim.job_id, claim.request, claim.starts)
    assert store.end_of(job_id) is None


def test_a_file_name_that_is_not_utf8_survives(store: JobStore) -> None:
    """File names are bytes; Python holds the odd ones as lone surrogates."""
    path = os.fsdecode(b"/videos/caf\xe9\n%.mp4")
    store.create(JobRequest(models={}, fps=1.0, path=path))
    assert path == _claimed(store).request.path


def test_jobs_are_taken_oldest_first_and_by_one_holder_each(store: JobStore, tmp_path: Path) -> None:
    """Two stores of one folder, as in two services, never hold the same job."""
    first, second = store.create(REQUEST), store.create(REQUEST)
    other = JobStore(tmp_path)
    claims = [_claimed(store), _claimed(other)]
    assert [first, second] == [claim.job_id for claim in claims]
    assert store.claim() is None
    assert other.claim() is None


def test_a_closed_claim_can_be_taken_again(store: JobStore) -> None:
    """A job that was begun and let go starts again, counted."""
    job_id = store.create(REQUEST)
    _claimed(store).close()
    again = _claimed(store)
    assert (job_id, 2) == (again.job_id, again.starts)


def test_a_job_that_was_given_back_starts_afresh(store: JobStore) -> None:
    """A service that is stopped in good order does not use up the job's tries."""
    store.create(REQUEST)
    claim = _claimed(store)
    store.give_back(claim)
    claim.close()
    assert _claimed(store).starts == 1


def test_a_dead_process_lets_go_of_its_job(store: JobStore, tmp_path: Path) -> None:
    """A claim ends with the process that holds it, however it dies."""
    job_id = store.create(REQUEST)
    program = (
        "import os, pathlib, sys; from deployments.services.inference.jobs import JobStore;"
        "claim = JobStore(pathlib.Path(sys.argv[1])).claim(); print(claim.job_id, flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert job_id == holder.stdout.readline().strip()
        assert store.claim() is None
        holder.kill()
    assert job_id == _claimed(store).job_id


def test_a_result_appears_with_the_end_of_its_job(store: JobStore) -> None:
    """Before the job has ended there is no result to download, half-written or not."""
    job_id = store.create(REQUEST)
    claim = _claimed(store)
    claim.scratch.write_text('{"frame_offset": []}')
    with pytest.raises(JobUnknown):
        store.result(job_id)
    store.succeed(claim)
    assert JobEnd(succeeded=True) == store.end_of(job_id)
    assert store.result(job_id).read_text() == '{"frame_offset": []}'


def test_a_failure_keeps_its_reason(store: JobStore) -> None:
    """Code, message and hint come back as they were given."""
    job_id = store.create(REQUEST)
    store.fail(_claimed(store), "video_truncated", "ends at 3.2 s", "upload it again")
    assert JobEnd(False, "video_truncated", "ends at 3.2 s", "upload it again") == store.end_of(job_id)
    with pytest.raises(JobUnknown):
        store.result(job_id)


def test_an_ended_job_leaves_no_url_on_disk(store: JobStore, tmp_path: Path) -> None:
    """The signed URL is kept only while it is needed, readable by nobody else, and never in a repr."""
    store.create(REQUEST)
    request = next(tmp_path.glob("jobs/*/request.json"))
    assert stat.S_IMODE(request.stat().st_mode) == 0o600
    assert {0o700} == {stat.S_IMODE(folder.stat().st_mode) for folder in (request.parent, request.parent.parent)}
    assert "s3cret" not in repr(REQUEST)
    claim = _claimed(store)
    claim.scratch.write_text("half")
    store.fail(claim, "job_timeout", "too long")
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("s3cret" in text or "half" in text for text in kept)
    assert store.backlog().jobs == 0


def test_a_job_that_ended_just_before_a_crash_is_not_run_again(store: JobStore, tmp_path: Path) -> None:
    """The end counts, also where its holder died before it could clear the queue."""
    job_id = store.create(REQUEST)
    marker = next(tmp_path.glob("pending/*"))
    claim = _claimed(store)
    store.fail(claim, "fps_too_high", "25 > 10")
    claim.close()
    marker.touch()
    claims = JobStore(tmp_path)
    assert claims.claim() is None
    assert claims.backlog().jobs == 0
    assert store.end_of(job_id) is not None


@pytest.mark.parametrize("content", [b"", b"not json", b'{"from_the_future": 1}', b"[]", None])
def test_a_job_that_cannot_be_read_fails_alone(store: JobStore, tmp_path: Path, content: bytes | None) -> None:
    """A request of another version, or damaged by hand, does not stop the jobs behind it."""
    broken, sound = store.create(REQUEST), store.create(REQUEST)
    request = tmp_path / "jobs" / broken / "request.json"
    request.unlink() if content is None else request.write_bytes(content)
    assert sound == _claimed(store).job_id
    end = store.end_of(broken)
    assert end is not None
    assert end.code == "job_unreadable"


def test_a_job_whose_folder_is_gone_is_dropped(store: JobStore, tmp_path: Path) -> None:
    """A queue entry without a job is no job."""
    (tmp_path / "pending" / "00000000000000000001_00000000-0000-0000-0000-000000000000").touch()
    assert store.claim() is None
    assert store.backlog().jobs == 0


@pytest.mark.parametrize(
    "job_id", ["", ".", "..", "../pending", "x" * 36, "00000000-0000-0000-0000-000000000000", "\0"]
)
def test_an_unknown_id_is_unknown_and_never_a_path(store: JobStore, job_id: str) -> None:
    """Only ids of our own form are looked up."""
    with pytest.raises(JobUnknown):
        store.end_of(job_id)
    with pytest.raises(JobUnknown):
        store.result(job_id)


def test_crashes_are_counted_over_restarts(store: JobStore, tmp_path: Path) -> None:
    """The count is the job's, not the process's."""
    store.create(REQUEST)
    with_first = _claimed(store)
    assert store.crashed(with_first) == 1
    with_first.close()
    other = JobStore(tmp_path)
    assert other.crashed(_claimed(other)) == 2


def test_pruning_takes_old_ended_jobs_only(store: JobStore, tmp_path: Path) -> None:
    """A job that still waits is kept however old it is."""
    ended, waiting, orphan = store.create(REQUEST), store.create(REQUEST), tmp_path / "jobs" / "half-made"
    store.fail(_claimed(store), "x", "y")
    orphan.mkdir()
    assert store.prune(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert store.prune(datetime.now(UTC) + timedelta(hours=1)) == 2
    assert {waiting} == {folder.name for folder in (tmp_path / "jobs").iterdir()}
    with pytest.raises(JobUnknown):
        store.end_of(ended)


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The message says which folder and why."""
    (tmp_path / "file").touch()
    with pytest.raises(InputInvalid, match="file/jobs"):
        private_folder(tmp_path / "file" / "jobs")
