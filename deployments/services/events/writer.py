"""Puts events into the inbox, those that come together in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from tasks.domain.errors import LedgerUnavailable, ReelrouteError
from tasks.domain.upload import UploadEvent
from tasks.ledger.inbox import Inbox, Received

Uploads = Sequence[tuple[str, UploadEvent]]

# Senders wait five seconds at least (EventBridge) for an answer.
PATIENCE_S = 4.0
# Events of one transaction, and events that wait for theirs.
_TOGETHER = 500
_MOST_WAITING = 20_000


class Writer:
    """Collects events of requests that are under way, and writes them while the next ones come.

    A transaction costs a sync of the disk; a burst of single events shares them.
    """

    def __init__(self, inbox: Inbox, clock: Callable[[], datetime]) -> None:
        self._inbox = inbox
        self._clock = clock
        self._queue: asyncio.Queue[tuple[Uploads, asyncio.Future[list[Received]]]] = asyncio.Queue()
        self._waiting = 0

    async def put(self, uploads: Uploads, *, patience_s: float = PATIENCE_S) -> list[Received]:
        """Return what became of each event once all of them are on disk.

        Raises:
            LedgerUnavailable: That was not to be had in time. They may be written yet: whoever
                told us tells us again, and they are known then.
            LedgerUnusable: The ledger is broken.
        """
        if not uploads:
            return []
        if self._waiting + len(uploads) > _MOST_WAITING:
            raise LedgerUnavailable("more events wait for the ledger than are kept in memory")
        future: asyncio.Future[list[Received]] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_look_at)
        self._waiting += len(uploads)
        self._queue.put_nowait((uploads, future))
        try:
            return await asyncio.wait_for(asyncio.shield(future), patience_s)
        except TimeoutError:
            raise LedgerUnavailable("the ledger has not taken an event in time") from None

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            group = [await self._queue.get()]
            size = len(group[0][0])
            while size < _TOGETHER and not self._queue.empty():
                group.append(self._queue.get_nowait())
                size += len(group[-1][0])
            await self._write(group)
            self._waiting -= size

    async def _write(self, group: list[tuple[Uploads, asyncio.Future[list[Received]]]]) -> None:
        together = [upload for uploads, _ in group for upload in uploads]
        try:
            answers = await asyncio.to_thread(self._inbox.put_uploads, together, self._clock())
        except ReelrouteError as error:
            for _, future in group:
                future.set_exception(error)
            return
        position = 0
        for uploads, future in group:
            future.set_result(answers[position : position + len(uploads)])
            position += len(uploads)


def _look_at(future: asyncio.Future[list[Received]]) -> None:
    """Whoever asked may have gone; its exception is no surprise."""
    if not future.cancelled():
        future.exception()
