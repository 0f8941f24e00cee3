"""Jobs on disk: the queue, the answers, and who is at work, shared by every process of a state folder.

    state/pending/<time>_<job id>     one empty file per job that has not ended, oldest first
    state/jobs/<job id>/request.json  what to run; holds the video's URL, removed when the job ends
                        starts        how often it was begun; `crashes` is how often its worker died of it
                        lock          flock'ed by whoever runs it; a dead process lets go of it
                        status.json   how it ended
                        result.json   the results, of a job that succeeded

Every file appears whole (written beside, synced, renamed). The folders are 0700, the files 0600.
POSIX only: the claims are ``flock`` locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tasks.domain.errors import InputInvalid, JobUnknown

_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What was accepted: everything checked, everything resolved.

    Attributes:
        models: Key in the results JSON -> ONNX file.
        fps: Frames per second of video to infer.
        confidence: Threshold in [0, 1], or None for the engine's default.
        path: The video as a file on this machine, or "".
        url: The video as an ``http(s)`` URL, or ""; exactly one of the two is given.
    """

    models: dict[str, str]
    fps: float
    confidence: float | None = None
    path: str = ""
    url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended; ``code``, ``message`` and ``hint`` say why where it failed."""

    succeeded: bool
    code: str = ""
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Jobs that wait or run, and when the oldest of them was accepted; None if there is none."""

    jobs: int
    oldest: datetime | None


@dataclass(slots=True)
class Claim:
    """The right to run one job, held until :meth:`close` or the end of this process.

    Attributes:
        starts: How often the job was begun, this time included.
        scratch: Where this attempt writes its results; no other attempt uses the name.
    """

    job_id: str
    request: JobRequest
    starts: int
    scratch: Path
    _marker: Path
    _lock: int

    def close(self) -> None:
        """Let others claim the job, if it has not ended."""
        os.close(self._lock)


class JobStore:
    """Accepts jobs, hands them out one holder at a time, and remembers how they ended."""

    def __init__(self, state_dir: Path) -> None:
        self._jobs = private_folder(state_dir / "jobs")
        self._pending = private_folder(state_dir / "pending")

    def create(self, request: JobRequest) -> str:
        """Queue a job durably and return its id."""
        job_id = str(uuid.uuid4())
        folder = self._jobs / job_id
        folder.mkdir(mode=0o700)
        # ASCII JSON keeps file names that are not valid UTF-8 (as lone surrogates) intact.
        _write_whole(folder / "request.json", json.dumps(asdict(request)).encode("ascii"))
        _write_whole(self._pending / f"{time.time_ns():020d}_{job_id}", b"")
        return job_id

    def end_of(self, job_id: str) -> JobEnd | None:
        """How the job ended, or None while it waits or runs.

        Raises:
            JobUnknown: There is no such job, or it was deleted after its retention time.
        """
        folder = self._folder(job_id)
        try:
            status = json.loads((folder / "status.json").read_bytes())
        except FileNotFoundError:
            if folder.is_dir():
                return None
            raise _unknown() from None
        return JobEnd(**status)

    def result(self, job_id: str) -> Path:
        """The results JSON of a job that succeeded.

        Raises:
            JobUnknown: There is none (any more).
        """
        path = self._folder(job_id) / "result.json"
        if not path.is_file():
            raise _unknown()
        return path

    def claim(self) -> Claim | None:
        """Take the oldest job that nobody runs, or None when there is nothing to take."""
        for name in sorted(os.listdir(self._pending)):  # noqa: PTH208 (names are all we need, thousands at a time)
            if name.endswith(".part"):
                continue
            claim = self._try(self._pending / name)
            if claim is not None:
                return claim
        return None

    def succeed(self, claim: Claim) -> None:
        """Publish what the attempt wrote to its scratch file and end the job."""
        claim.scratch.replace(claim.scratch.with_name("result.json"))
        self._end(claim.scratch.parent, claim._marker, JobEnd(succeeded=True))

    def fail(self, claim: Claim, code: str, message: str, hint: str = "") -> None:
        """End the job with the reason that callers will be told."""
        end = JobEnd(succeeded=False, code=code, message=message, hint=hint)
        self._end(claim.scratch.parent, claim._marker, end)

    def crashed(self, claim: Claim) -> int:
        """Note that the job's worker died of it; return how often that has happened."""
        return _count_up(claim.scratch.with_name("crashes"))

    def give_back(self, claim: Claim) -> None:
        """Let the job wait as if this start had not been; for a service that is told to stop."""
        _write_whole(claim.scratch.with_name("starts"), str(claim.starts - 1).encode())

    def backlog(self) -> Backlog:
        """What is not done yet, of every service that shares the state folder."""
        names = [name for name in os.listdir(self._pending) if not name.endswith(".part")]  # noqa: PTH208
        accepted_ns = int(min(names).partition("_")[0]) if names else 0
        return Backlog(len(names), datetime.fromtimestamp(accepted_ns / 1e9, UTC) if names else None)

    def try_writing(self) -> None:
        """Write and delete a file of a job's size.

        Raises:
            OSError: The folder cannot be written.
        """
        trial = self._jobs / f".trial-{uuid.uuid4().hex}"
        try:
            _write_whole(trial, b" " * 4096)
        finally:
            trial.unlink(missing_ok=True)

    def prune(self, before: datetime) -> int:
        """Delete jobs that ended before then, and half-made ones as old; return how many."""
        waiting = {_job_of(name) for name in os.listdir(self._pending)}  # noqa: PTH208
        pruned = 0
        for folder in self._jobs.iterdir():
            if folder.name in waiting:
                continue
            status = folder / "status.json"
            with contextlib.suppress(FileNotFoundError):  # another service may prune at the same time
                changed = (status if status.exists() else folder).stat().st_mtime
                if changed < before.timestamp():
                    shutil.rmtree(folder, ignore_errors=True)
                    pruned += 1
        return pruned

    def _folder(self, job_id: str) -> Path:
        if not _JOB_ID.fullmatch(job_id):
            raise _unknown()
        return self._jobs / job_id

    def _try(self, marker: Path) -> Claim | None:
        folder = self._jobs / _job_of(marker.name)
        try:
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # somebody removed the job's folder by hand
            marker.unlink(missing_ok=True)
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        try:
            claim = self._begin(folder, marker, lock)
        except BaseException:
            os.close(lock)
            raise
        if claim is None:
            os.close(lock)
        return claim

    def _begin(self, folder: Path, marker: Path, lock: int) -> Claim | None:
        if (folder / "status.json").exists():  # its holder died between ending it and tidying up
            _tidy(folder, marker)
            return None
        if not marker.exists():  # it ended and was pruned while we looked
            return None
        try:
            request = JobRequest(**json.loads((folder / "request.json").read_bytes()))
        except (ValueError, TypeError, FileNotFoundError):
            end = JobEnd(
                succeeded=False, code="job_unreadable", message="another version of the service wrote this job"
            )
            self._end(folder, marker, end)
            return None
        starts = _count_up(folder / "starts")
        return Claim(folder.name, request, starts, folder / f"result-{starts}.part", marker, lock)

    def _end(self, folder: Path, marker: Path, end: JobEnd) -> None:
        _write_whole(folder / "status.json", json.dumps(asdict(end)).encode("ascii"))
        _tidy(folder, marker)


def _count_up(counter: Path) -> int:
    count = int(counter.read_bytes()) + 1 if counter.exists() else 1
    _write_whole(counter, str(count).encode())
    return count


def private_folder(path: Path) -> Path:
    """Create the folder if needed, readable by nobody but us.

    Raises:
        InputInvalid: It cannot be made or is not ours.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise InputInvalid(
            f"cannot keep state in {path}: {error.strerror}", hint="choose a folder that this user may write"
        ) from None
    return path


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _tidy(folder: Path, marker: Path) -> None:
    """Forget the request (it holds a signed URL) and leftovers, then take the job off the queue."""
    (folder / "request.json").unlink(missing_ok=True)
    for leftover in folder.glob("*.part"):
        leftover.unlink(missing_ok=True)
    marker.unlink(missing_ok=True)


def _job_of(marker_name: str) -> str:
    return marker_name.rpartition("_")[2]


def _unknown() -> JobUnknown:
    return JobUnknown("this service does not know the job", hint="jobs are forgotten some days after they end")
