"""Job ids that the ledger could not take: kept in a file beside it, and given to it as soon as it can.

A service that has answered with an id works on the job and bills it. Without the id its results cannot
be had, so an id that the ledger cannot record (its disk is full, it is locked, it is gone, another
process has the job now) is written down here first.

The file is in the state folder or, if that takes nothing, in a folder for temporary files. It holds a
line of JSON for each job, and is otherwise full of line breaks: the room was taken when the disk was not
full yet. A line that was half written when the machine stopped is told and dropped.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from tasks.domain.errors import LedgerConflict
from tasks.domain.job import JobState
from tasks.domain.video import printable
from tasks.ledger.base import JobRecord, Ledger

NAME = "job-ids"
# Some three hundred lines: more than are ever at a service at once.
RESERVED = 64 << 10
_LASTING = Path("/var/tmp")  # noqa: S108 (the file in it must be ours, see below)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TakenJob:
    """What a service answered to a submission.

    Attributes:
        key: The job's key in the ledger.
        job_id, service: Its id there, and where that is.
        at: When the answer came.
    """

    key: str
    job_id: str
    service: str
    at: datetime

    def to_line(self) -> bytes:
        """One line of ASCII, without its end."""
        return json.dumps({**asdict(self), "at": self.at.isoformat()}).encode()

    @classmethod
    def from_line(cls, line: bytes) -> TakenJob:
        """Read the same again.

        Raises:
            ValueError: It is no such line.
        """
        try:
            found = json.loads(line)
            taken = cls(str(found["key"]), str(found["job_id"]), str(found["service"]), _time(found["at"]))
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"no taken job: {error}") from None
        return taken


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return at


class JobIds:
    """The file of a state folder, safe to share by processes of one machine.

    Attributes:
        places: Where it may be, in the order in which they are tried.
    """

    def __init__(self, home: Path) -> None:
        # Several homes of one person may have to share a folder.
        name = f"reelroute-{os.geteuid()}-{hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:16]}-{NAME}"
        folders = dict.fromkeys((_LASTING, Path(tempfile.gettempdir())))
        self.places = (home / NAME, *(folder / name for folder in folders))

    def reserve(self) -> None:
        """Take room in the state folder for as long as there is some; what cannot be had is done without."""
        try:
            with _locked(self.places[0], create=True) as file:
                missing = RESERVED - os.fstat(file).st_size
                if missing > 0:
                    os.pwrite(file, b"\n" * missing, RESERVED - missing)
                    os.fsync(file)
        except OSError as error:
            log.debug("no room for job ids at %s: %s", self.places[0], error)

    def add(self, taken: TakenJob) -> Path:
        """Write a job down and return where; it is on the disk then.

        Raises:
            OSError: No place took it.
        """
        problem: OSError | None = None
        for place in self.places:
            try:
                _append(place, taken.to_line())
            except OSError as error:
                problem = error
            else:
                return place
        assert problem is not None  # noqa: S101 (there are places)
        raise problem

    def read(self) -> list[TakenJob]:
        """Everything that is written down, each job once; a damaged line is told and dropped."""
        found: dict[TakenJob, None] = {}
        for line in self._lines():
            try:
                found[TakenJob.from_line(line)] = None
            except ValueError:
                log.warning("a line of %s is damaged and dropped: %s", NAME, printable(line.decode(errors="replace")))
                self._drop(line)
        return list(found)

    def remove(self, taken: TakenJob) -> None:
        """Forget a job that the ledger has."""
        self._drop(taken.to_line())

    def _lines(self) -> Iterator[bytes]:
        for place in self.places:
            try:
                with _locked(place) as file:
                    lines = _content(file).split(b"\n")
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("job ids may be kept in %s, which cannot be read: %s", place, error.strerror)
                continue
            yield from filter(None, lines)

    def _drop(self, line: bytes) -> None:
        """Overwrite a line wherever it is, which takes no room."""
        for place in self.places:
            try:
                with _locked(place) as file:
                    start = (b"\n" + _content(file) + b"\n").find(b"\n" + line + b"\n")
                    if start >= 0:
                        os.pwrite(file, b"\n" * len(line), start)
                        os.fsync(file)
            except FileNotFoundError:
                continue
            except OSError as error:
                # It is read again by the next run, which finds that the ledger has it.
                log.warning("a line of %s cannot be cleared: %s", place, error.strerror)


def adopt_job_ids(ids: JobIds, ledger: Ledger, owner: str, lease: timedelta, now: datetime) -> int:
    """Give the ledger the ids that it could not take before; return how many jobs became submitted by it.

    What the ledger has is forgotten here. What it does not know (yet), and what another process is at
    work on, stays for a later time.
    """
    adopted = 0
    for taken in ids.read():
        try:
            job = ledger.claim(taken.key, owner, lease, now)
        except LedgerConflict:
            continue
        if job is None:
            continue
        try:
            recorded = record_job_id(ledger, owner, job, taken)
        finally:
            ledger.release(taken.key, owner)
        ids.remove(taken)
        adopted += recorded.state is not job.state
    return adopted


def record_job_id(ledger: Ledger, owner: str, job: JobRecord, taken: TakenJob) -> JobRecord:
    """Make a job that ``owner`` holds submitted by the id that came late; itself if it has gone on without.

    Raises:
        LedgerConflict: It is not the owner's any more.
    """
    if job.state is JobState.PLANNED:  # by a ledger that was lost or restored, or for a second attempt
        job = ledger.move(
            job.key, job.state, JobState.SUBMITTING, owner, taken.at, token=uuid4().hex, service=taken.service
        )
    if job.state in (JobState.SUBMITTING, JobState.UNKNOWN):
        log.info("%s: job %s is in the ledger now", job.video, printable(taken.job_id))
        to, at_service = JobState.SUBMITTED, taken.service
        return ledger.move(job.key, job.state, to, owner, taken.at, job_id=taken.job_id, service=at_service)
    if job.job_id != taken.job_id:
        log.warning(
            "%s is %s without job %s, which %s took too: it may be billed, and its results are not used",
            job.video, job.state, printable(taken.job_id), taken.service,
        )  # fmt: skip
    return job


def _append(place: Path, line: bytes) -> None:
    with _locked(place, create=True) as file:
        content = _content(file)
        if b"\n" + line + b"\n" in b"\n" + content + b"\n":
            return
        # Never right behind what may be half a line.
        left = memoryview(b"\n" + line + b"\n" if content else line + b"\n")
        at = len(content)
        while left:
            written = os.pwrite(file, left, at)
            left, at = left[written:], at + written
        os.fsync(file)


def _content(file: int) -> bytes:
    """Everything in it, without the line breaks at its end."""
    return os.pread(file, os.fstat(file).st_size, 0).rstrip(b"\n\0")


@contextmanager
def _locked(place: Path, *, create: bool = False) -> Iterator[int]:
    """A file of ours, opened, with other processes kept out until the block ends.

    Raises:
        OSError: There is none, or it is somebody else's.
    """
    is_at_home = place.name == NAME
    how = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    file = os.open(place, how, 0o666 if is_at_home else 0o600)
    try:
        about = os.fstat(file)
        # Anybody may have put something under this name where everybody writes.
        if not stat.S_ISREG(about.st_mode) or not (is_at_home or about.st_uid == os.geteuid()):
            raise PermissionError(errno.EPERM, "it is not a file of ours", str(place))
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
        if create and not about.st_size:
            _sync_folder(place.parent)
    finally:
        os.close(file)


def _sync_folder(folder: Path) -> None:
    """See to it that a file's name is on the disk as its content is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
