"""Results that are stored already: of a ledger that was lost or restored, or of a job that nobody recorded as done.

What is looked at costs one request for each video that would otherwise be paid, and none at all while the
results store is empty, as it is for the first night over a large bucket.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import date
from functools import partial

from config.pipeline import Pipeline
from config.settings import Settings
from tasks.domain.errors import AccessDenied, CredentialsRefused, LocationMissing, ObjectMissing, ReelrouteError
from tasks.domain.job import JobState
from tasks.domain.video import printable
from tasks.ledger.base import Ledger
from tasks.places import place_of
from tasks.storage.base import Storage
from tasks.stores import Stores, open_results

log = logging.getLogger(__name__)

# States of a job about which something was decided.
_BEGUN = [state for state in JobState if state is not JobState.PLANNED]


def result_key(job_key: str) -> str:
    """Where the results store keeps a job's results JSON, compressed."""
    return f"{job_key[:2]}/{job_key}.json.gz"


class StoredResults:
    """Tells of which jobs the results store has something. Safe to share by threads.

    Attributes:
        uncounted: Keys of jobs that the budget of this run does not count, because their results are there.
    """

    def __init__(self, store: Storage) -> None:
        self.uncounted: set[str] = set()
        self._store = store
        self._lock = threading.Lock()
        self._is_empty: bool | None = None
        self._is_told = False

    def has(self, job_key: str) -> bool:
        """Whether there is something under a job's key; False where the store does not let us know, which is told once.

        Raises:
            StorageUnavailable, CredentialsRefused: The store does not say, of any job.
        """
        with self._lock:
            if self._is_empty is None:
                self._is_empty = self._looks_empty()
        if self._is_empty:
            return False
        try:
            self._store.stat(result_key(job_key))
        except ObjectMissing:
            return False
        except CredentialsRefused:
            raise
        except AccessDenied as error:
            self._tell(error)
            return False
        return True

    def _looks_empty(self) -> bool:
        try:
            return next(self._store.list(), None) is None
        except CredentialsRefused:
            raise
        except AccessDenied:  # who may not list may still look at each
            return False
        except LocationMissing:
            return True

    def _tell(self, error: AccessDenied) -> None:
        with self._lock:
            is_told, self._is_told = self._is_told, True
        if not is_told:
            log.warning("the results store does not say of each job what it has, which may be paid again: %s", error)


def warn_of_earlier_work(
    pipeline: Pipeline, settings: Settings, stores: Stores, ledger: Ledger | None, day: date
) -> list[str]:
    """Say where results or outputs are that a ledger without any history cannot know; nothing for other ledgers."""
    if ledger is not None and next(ledger.jobs(states=_BEGUN), None) is not None:
        return []
    routes = [route for route in pipeline.routes if route.to in ("results", "video")]
    openers = [partial(open_results, settings)]
    openers += [partial(place_of, route, pipeline, stores, day) for route in routes]
    found = [root for opener in openers if (root := _root_of_something(opener))]
    if not found:
        return []
    told = (
        f"the ledger is new (state is in {settings.home}), but there is something already in "
        f"{', '.join(map(printable, found))}: if it is earlier work that another ledger knows, stop and set "
        "REELROUTE_HOME or REELROUTE_LEDGER_URL; stored results of these very videos are taken over, everything else "
        "is paid again"
    )
    return [told]


def _root_of_something(opener: Callable[[], Storage]) -> str:
    try:
        place = opener()
        return place.root if next(place.list(), None) is not None else ""
    except ReelrouteError:  # a run says what is wrong with its places; who may only write there learns nothing from it
        return ""
