"""Copies: a video that was moved or copied takes over the results of its bytes, instead of being paid again.

Only where the pipeline says ``dedupe: content``. What a video's bytes are is asked of its store, once
per version (:meth:`tasks.storage.base.Storage.content_hash`), and kept in the ledger. Which of two
copies is submitted is decided in the ledger, in the transaction of the move: see ``once_per_content``
of :class:`tasks.ledger.base.Slots`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tasks.domain.errors import CopyAhead, ObjectMissing, ReelrouteError
from tasks.domain.job import InferenceSpec, JobState
from tasks.domain.video import VideoRef
from tasks.domain.wording import count_of
from tasks.ledger.base import JobRecord, Ledger, Slots
from tasks.stores import Stores

if TYPE_CHECKING:
    from tasks.run import Run

# Jobs of today's listing whose content later copies may want to know.
REUSABLE = (JobState.SUBMITTING, JobState.SUBMITTED, JobState.SUCCEEDED)


def content_of(stores: Stores, video: VideoRef) -> str:
    """Ask a video's store for the hash of its content; "" if it has none.

    Raises:
        ObjectMissing, AccessDenied, StorageUnavailable: The store does not say.
    """
    store, key = stores.locate(video)
    return store.content_hash(key, video.version)


def remember_content(run: Run, job: JobRecord) -> str:
    """As :func:`content_of` of a job's video, from the ledger if it was asked before."""
    if job.content is not None:
        return job.content
    content = content_of(run.stores, job.video)
    run.ledger.set_content(job.key, content)
    return content


def remember_done(run: Run, job: JobRecord) -> None:
    """Learn the content of a job that was submitted before anybody wanted to know; what cannot be told is left."""
    try:
        remember_content(run, job)
    except ReelrouteError:  # it is inferred, so nothing depends on it
        return


class Originals:
    """Tells, video by video as a run plans them, which are copies, and of which job.

    Attributes:
        unnamed: Videos whose content has no hash.

    Args:
        ledger: None where there is none yet.
    """

    def __init__(self, ledger: Ledger | None, spec: InferenceSpec, now: datetime, deadline: timedelta) -> None:
        self.unnamed = 0
        self._ledger = ledger
        self._spec = spec
        self._now = now
        self._deadline = deadline
        self._planned: dict[tuple[str, int], str] = {}

    def of(self, key: str, video: VideoRef, content: str | None) -> tuple[str, bool]:
        """Key of the job whose results this one takes over, "" if none; and whether they are there already.

        Args:
            content: Its hash; "" if there is none, None where nobody wants to know.
        """
        self.unnamed += content == ""
        if not content:
            return "", False
        if self._ledger is not None:
            found = self._ledger.find_copy(content, video.size, self._spec, self._now, deadline=self._deadline, but=key)
            if found is not None:
                return found.key, found.state is JobState.SUCCEEDED
        return self._planned.get((content, video.size), ""), False

    def add(self, key: str, video: VideoRef, content: str | None) -> None:
        """Count a job that is going to be submitted, or has results, as an original."""
        if content:
            self._planned[content, video.size] = key

    @property
    def warnings(self) -> list[str]:
        """What to tell about videos that cannot be compared; at most one sentence."""
        if not self.unnamed:
            return []
        what = f"{count_of(self.unnamed, 'video')} (multipart or composite uploads, for instance)"
        return [f"dedupe: the stores keep no hash of the whole content of {what}, so copies of these are paid again"]


async def settle_copy(run: Run, job: JobRecord) -> JobRecord | Slots:
    """Return a planned job that we hold as succeeded with a copy's results, else the slots to submit it under.

    Raises:
        CopyAhead: A copy is at the service.
    """
    copy = await asyncio.to_thread(find_copy, run, job)
    if copy is None:
        return run.slots
    if copy.state is not JobState.SUCCEEDED:
        raise CopyAhead(f"{job.video}: a copy of it, {copy.video}, is at the service")
    try:
        await asyncio.to_thread(run.results.stat, copy.result_key)
    except ObjectMissing:  # somebody cleaned the results store up
        return replace(run.slots, once_per_content=False)
    return await run.move(job, JobState.SUCCEEDED, result_key=copy.result_key)


def find_copy(run: Run, job: JobRecord) -> JobRecord | None:
    """A job of the same content that has results, or is open."""
    if not run.slots.once_per_content or not job.content:
        return None
    return run.ledger.find_copy(
        job.content, job.video.size, job.spec, run.clock(), deadline=run.slots.deadline, but=job.key
    )
