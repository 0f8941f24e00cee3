"""Tells a video that may not be read from a store that lets us read nothing any more.

The first is that video's failure. The second says nothing about any video: all of them stay planned,
and the run stops (exit code 3). It is the second

- when the store's error is about the credentials (:class:`tasks.domain.errors.CredentialsRefused`);
- when a video is denied, and one that could be read before is denied now, too;
- when a video is denied, none of that store could be read, and neither can others be asked for or signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain

from tasks.domain.errors import (
    AccessDenied,
    CredentialsRefused,
    FpsTooHigh,
    KeyUnsafe,
    ReelrouteError,
    VideoUnreadable,
)
from tasks.domain.job import JobState
from tasks.domain.video import VideoRef
from tasks.ledger.base import JobRecord, Ledger
from tasks.storage.base import Storage
from tasks.stores import Stores

# What is known only of a video that was read.
_READ = (FpsTooHigh, VideoUnreadable)

# Other videos that are tried when one is denied: all of these have to be denied as well.
OTHERS = 3

Failed = tuple[JobRecord, ReelrouteError]


class Access:
    """What looks at videos, one after the other, tell about the access to their stores.

    Attributes:
        ended: Why nothing can be read any more, or None.

    Args:
        others: Gives videos to compare with one that is denied.
    """

    def __init__(self, stores: Stores, others: Callable[[], Iterable[VideoRef]]) -> None:
        self.ended: AccessDenied | None = None
        self._stores = stores
        self._others = others
        self._readable: dict[str, str] = {}
        self._denied: dict[str, list[tuple[JobRecord, AccessDenied]]] = {}

    def failed(self, job: JobRecord, error: ReelrouteError | None) -> list[Failed]:
        """Learn from a look at a video; returns the videos that are now known to have failed by themselves."""
        if isinstance(error, KeyUnsafe):
            return [(job, error)]
        store, key = self._stores.locate(job.video)
        if isinstance(error, CredentialsRefused):
            self.ended = self.ended or error
            return []
        if not isinstance(error, AccessDenied):
            return [*self._learn(job, error, store, key), *([(job, error)] if error else [])]
        if store.root not in self._readable:
            self._denied.setdefault(store.root, []).append((job, error))
            return []
        self.ended = self.ended or _denied(store, self._readable[store.root])
        return [] if self.ended else [(job, error)]

    def rest(self) -> list[Failed]:
        """As :meth:`failed`, of those that could not be told apart by the end."""
        failed: list[Failed] = []
        for several in self._denied.values():
            first, error = several[0]
            others = chain((job.video for job, _ in several[1:]), self._others())
            if self.ended is None and denies_others(self._stores, first.video, others):
                self.ended = error
            failed += several
        return [] if self.ended else failed

    def _learn(self, job: JobRecord, error: ReelrouteError | None, store: Storage, key: str) -> list[Failed]:
        if job.info is not None or not (error is None or isinstance(error, _READ)):
            return []
        self._readable[store.root] = key
        return list(self._denied.pop(store.root, ()))


def listed(ledger: Ledger, pipeline: str, since: datetime) -> Iterator[VideoRef]:
    """A pipeline's videos: first those that were listed since then, then others that should be there."""
    waiting = [JobState.PLANNED, JobState.SUBMITTED]
    for job in chain(ledger.jobs(pipeline, seen_since=since), ledger.jobs(pipeline, waiting)):
        yield job.video


def denies_others(stores: Stores, denied: VideoRef, others: Iterable[VideoRef]) -> bool:
    """Whether the store that denies a video denies others, too; False if there are none."""
    mine, tried = stores.locate(denied)[0], {denied.uri}
    for video in others:
        store, key = stores.locate(video)
        if store is not mine or video.uri in tried:
            continue
        try:
            stores.grant(video, store.stat(key).version_id)
        except AccessDenied:
            tried.add(video.uri)
        except ReelrouteError:
            return False
        else:
            return False
        if len(tried) > OTHERS:
            break
    return len(tried) > 1


def _denied(store: Storage, key: str) -> AccessDenied | None:
    """Why the store does not give a byte of an object that it gave before; None if it does, or nobody knows."""
    try:
        store.stat(key)
        store.read(key, 0, 1)
    except AccessDenied as error:
        return error
    except ReelrouteError:
        return None
    return None
