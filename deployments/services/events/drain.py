"""From the inbox to runs: a few at a time, one for many uploads, and again for those whose run died."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from config.event_settings import EventSettings
from deployments.services.events.meters import Meters
from deployments.services.events.starters import Starter, StartFailed
from tasks.domain.errors import LedgerUnavailable, LedgerUnusable, ServiceUnavailable
from tasks.domain.wording import count_of
from tasks.ledger.inbox import Batch, BatchState, Inbox, Waiting
from tasks.owner import is_dead, new_owner

_log = logging.getLogger("reelroute.events")

_EVERY_S = 1.0
# A formed batch is ours to start for so long; another service takes it over then.
_START_LEASE = timedelta(minutes=1)
_PRUNE_EVERY_S = 3600.0
_SHOW_EVERY_S = 5.0
_CHECK_EVERY_S = 10.0
_RETRY_EVERY_S = 5.0
_LIVE = (BatchState.FORMED, BatchState.STARTED, BatchState.RUNNING)


class Drain:
    """Looks at the inbox every second. Several services may drain one ledger: batches have leases.

    Attributes:
        problem: Why no run could be started the last time, or "".

    Args:
        pipelines: Name -> what to call it in a run's parameters.
        timer: Seconds that go on evenly, whatever becomes of the date that ``clock`` tells.
    """

    def __init__(
        self,
        inbox: Inbox,
        settings: EventSettings,
        pipelines: Mapping[str, str],
        starter: Starter,
        meters: Meters,
        clock: Callable[[], datetime],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inbox = inbox
        self._settings = settings
        self._pipelines = pipelines
        self._starter = starter
        self._meters = meters
        self._clock = clock
        self._timer = timer
        self._owner = new_owner()
        self._prune_at = self._show_at = self._check_at = self._retry_at = 0.0
        self.problem = ""

    def check(self) -> None:
        """For ``/readyz``.

        Raises:
            ServiceUnavailable: No run could be started the last time.
        """
        if self.problem:
            raise ServiceUnavailable(self.problem)

    async def run(self) -> None:
        """Drain until cancelled; a ledger that is out of reach is waited for."""
        said = ""
        while True:
            try:
                await self.step()
                said = ""
            except (LedgerUnavailable, LedgerUnusable) as error:
                if error.message != said:
                    _log.error("the inbox is out of reach: %s", error.message)
                said = error.message
            await asyncio.sleep(_EVERY_S)

    async def step(self) -> None:
        """Look once: give back what died, start what is formed, form what is ready."""
        live = await asyncio.to_thread(self._inbox.batches, _LIVE)
        for batch in live:
            await self._look_after(batch)
        formed = [batch for batch in live if batch.state is BatchState.FORMED]
        # What cannot be started now is not added to: the next batch is the larger for it.
        if self._timer() >= self._retry_at and await self._start(formed):
            await self._form()
        await self._tidy()

    async def _look_after(self, batch: Batch) -> None:
        """Give a batch back whose run is dead."""
        late = batch.lease_until <= await asyncio.to_thread(self._inbox.lease_time, self._clock())
        if batch.state is BatchState.RUNNING:
            if is_dead(batch.lease_owner):
                await self._give_back(batch, "its process is gone")
            elif late:
                await self._give_back(batch, "it gave no sign of life for as long as its lease")
        elif batch.state is BatchState.STARTED and late:
            over = await self._starter.is_over(batch.run)
            if over:
                await self._give_back(batch, "it ended before it took its uploads up; its own log says why")
            elif over is False:  # it waits for a worker
                await asyncio.to_thread(
                    self._inbox.start_batch, batch.id, batch.run, self._starter.patience, self._clock()
                )

    async def _give_back(self, batch: Batch, why: str) -> None:
        if await asyncio.to_thread(self._inbox.give_back, batch.id, batch, self._clock()):
            self._meters.count_batch(batch.pipeline, "given_back")
            run, uploads = batch.run or "not known", count_of(batch.size, "upload")
            _log.warning("%s: the run of %s died (%s: %s); they wait again", batch.pipeline, uploads, run, why)

    async def _start(self, formed: list[Batch]) -> bool:
        """Start batches; say whether all of those that are ours could be."""
        for batch in formed:
            reference = self._pipelines.get(batch.pipeline)
            if reference is None or self._starter.is_busy:
                continue
            now = self._clock()
            if not await asyncio.to_thread(self._inbox.hold_batch, batch.id, self._owner, _START_LEASE, now):
                continue
            try:
                run = await self._starter.start(reference, batch)
            except StartFailed as error:
                if str(error) != self.problem:
                    _log.error("no run can be started, uploads wait in the inbox: %s", error)
                self.problem = str(error)
                self._retry_at = self._timer() + _RETRY_EVERY_S
                self._meters.count_batch(batch.pipeline, "not_started")
                return False
            self.problem = ""
            await asyncio.to_thread(self._inbox.start_batch, batch.id, run, self._starter.patience, self._clock())
            self._meters.count_batch(batch.pipeline, "started")
            _log.info("%s: a run for %s was started", batch.pipeline, count_of(batch.size, "upload"))
        return True

    async def _form(self) -> None:
        """Form batches of what has waited long enough, and start them."""
        waiting = await asyncio.to_thread(self._inbox.waiting, self._clock())
        for name in self._pipelines:
            while name in waiting and not self._starter.is_busy and self._is_ready(waiting[name]):
                batch = await asyncio.to_thread(
                    self._inbox.form_batch,
                    name,
                    self._owner,
                    _START_LEASE,
                    self._clock(),
                    most=self._settings.batch,
                )
                if batch is None or not await self._start([batch]):
                    return
                left = waiting[name].count - batch.size
                waiting[name] = Waiting(left, waiting[name].oldest, waiting[name].newest)

    def _is_ready(self, waiting: Waiting) -> bool:
        """A full batch, or nothing new for a while, or somebody who has waited long enough."""
        if waiting.count <= 0:
            return False
        now = self._clock()
        return (
            waiting.count >= self._settings.batch
            or not timedelta(0) <= now - waiting.newest < self._settings.quiet  # before: the clock was set back
            or now - waiting.oldest >= self._settings.longest_wait
        )

    async def _tidy(self) -> None:
        now, passed_s = self._clock(), self._timer()
        if passed_s >= max(self._retry_at, self._check_at):
            self._check_at = passed_s + _CHECK_EVERY_S
            self.problem = await self._starter.check()
        if passed_s >= self._show_at:
            self._show_at = passed_s + _SHOW_EVERY_S
            counts = await asyncio.to_thread(self._inbox.inbox_counts)
            self._meters.show_inbox(counts, await asyncio.to_thread(self._inbox.oldest_upload), now)
        if passed_s >= self._prune_at:
            self._prune_at = passed_s + _PRUNE_EVERY_S
            await asyncio.to_thread(self._inbox.prune_inbox, now - self._settings.retention)
