"""Tells a video that may not be read from a store that lets us read nothing any more.

The first is that video's failure. The second says nothing about any video: all of them stay planned,
and the run stops (exit code 3). It is the second

- when the store's error is about the credentials (:class:`tasks.domain.errors.CredentialsRefused`);
- when a video is denied, and one that could be read before is denied now, too;
- when several were denied, none of that store could be read, and not even their facts can be asked for.
"""

from __future__ import annotations

from tasks.domain.errors import (
    AccessDenied,
    CredentialsRefused,
    FpsTooHigh,
    KeyUnsafe,
    ReelrouteError,
    VideoUnreadable,
)
from tasks.ledger.base import JobRecord
from tasks.storage.base import Storage
from tasks.stores import Stores

# What is known only of a video that was read.
_READ = (FpsTooHigh, VideoUnreadable)

Failed = tuple[JobRecord, ReelrouteError]


class Access:
    """What looks at videos, one after the other, tell about the access to their stores.

    Attributes:
        ended: Why nothing can be read any more, or None.
    """

    def __init__(self, stores: Stores) -> None:
        self.ended: AccessDenied | None = None
        self._stores = stores
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
            first, _ = several[0]
            if len(several) > 1 and self.ended is None:
                self.ended = _denied(*self._stores.locate(first.video))
            failed += several
        return [] if self.ended else failed

    def _learn(self, job: JobRecord, error: ReelrouteError | None, store: Storage, key: str) -> list[Failed]:
        if job.info is not None or not (error is None or isinstance(error, _READ)):
            return []
        self._readable[store.root] = key
        return list(self._denied.pop(store.root, ()))


def _denied(store: Storage, key: str) -> AccessDenied | None:
    """Why the store tells nothing of an object, or None if it does, or nobody knows."""
    try:
        store.stat(key)
    except AccessDenied as error:
        return error
    except ReelrouteError:
        return None
    return None
