"""Reads a queue for as long as the service runs: receive, put into the inbox, acknowledge."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from deployments.services.events.queues.base import Message, Queue, QueueUnavailable
from deployments.services.events.reception import Reception
from tasks.domain.errors import LedgerUnavailable, LedgerUnusable, ReelrouteError, ServiceUnavailable
from tasks.domain.video import printable
from tasks.uploads.notice import ShapeUnknown
from tasks.uploads.recognise import decode

_log = logging.getLogger("reelroute.events")

# A message that nobody can read is left to the queue's own dead-letter rule for so many times; then it is deleted.
MOST_TRIES = 10
_IDLE_S = 2.0
_BACKOFF_S = 5.0
# Longer than a web request may take, shorter than the message is hidden from others.
_PATIENCE_S = 30.0
_MOST_REMEMBERED = 10_000


class Puller:
    """One queue's.

    Attributes:
        problem: Why it could not be read the last time, or "".

    Args:
        look_at_ledger: Raises a ReelrouteError while the ledger is out of reach. It is asked before the
            queue is read the first time, and again after the ledger did not take a message: one that is
            received and not kept comes nearer to the queue's dead-letter rule each time.
    """

    def __init__(self, queue: Queue, reception: Reception, look_at_ledger: Callable[[], object]) -> None:
        self._queue = queue
        self._reception = reception
        self._look_at_ledger = look_at_ledger
        self._is_ledger_there = False
        self._tries: OrderedDict[str, int] = OrderedDict()
        self.problem = ""

    @property
    def name(self) -> str:
        """The queue's."""
        return self._queue.name

    def check(self) -> None:
        """For ``/readyz``.

        Raises:
            ServiceUnavailable: The queue could not be read the last time.
        """
        if self.problem:
            raise ServiceUnavailable(f"{printable(self.name)}: {self.problem}")

    async def run(self) -> None:
        """Read until cancelled; a queue or ledger that is out of reach is waited for."""
        while True:
            try:
                if not self._is_ledger_there:
                    await asyncio.to_thread(self._look_at_ledger)
                    self._is_ledger_there = True
                messages = await asyncio.to_thread(self._queue.receive)
                # Together, so that they share a transaction.
                ends = await asyncio.gather(*map(self._is_done, messages), return_exceptions=True)
                done = [message for message, end in zip(messages, ends, strict=True) if end is True]
                if done:
                    await asyncio.to_thread(self._queue.acknowledge, done)
                for end in ends:
                    if isinstance(end, BaseException):
                        raise end
                self.problem = ""
            except (QueueUnavailable, ReelrouteError) as error:
                self._is_ledger_there &= not isinstance(error, LedgerUnavailable | LedgerUnusable)
                if str(error) != self.problem:
                    _log.error("%s: %s", printable(self.name), error)
                self.problem = str(error)
                await asyncio.sleep(_BACKOFF_S)
                continue
            if not messages:
                await asyncio.sleep(_IDLE_S if self._queue.via == "azure-queue" else 0)

    async def _is_done(self, message: Message) -> bool:
        """Put what a message tells into the inbox; whether it may be acknowledged."""
        via = self._queue.via
        try:
            told = decode(message.body)
            await self._reception.take(told, message.attributes, via, patience_s=_PATIENCE_S)
        except ShapeUnknown as error:
            return self._is_hopeless(message, "shape_unknown", str(error))
        except ValueError:
            return self._is_hopeless(message, "not_json", "the message is no JSON")
        self._tries.pop(message.id, None)
        return True

    def _is_hopeless(self, message: Message, code: str, why: str) -> bool:
        """Count a message that cannot be read; whether it has come often enough to be deleted."""
        tries = message.tries or self._tries.get(message.id, 0) + 1
        self._tries[message.id] = tries
        while len(self._tries) > _MOST_REMEMBERED:
            self._tries.popitem(last=False)
        self._reception.meters.count_refused(self._queue.via, code)
        given_up = tries >= MOST_TRIES
        _log.warning(
            "%s: message %s %s: %s (try %d)",
            self._queue.via,
            printable(message.id),
            "deleted" if given_up else "left in the queue",
            why,
            tries,
        )
        return given_up
