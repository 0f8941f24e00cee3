"""How a run is asked to wind down: no new work, what is under way ends if it is quick.

Whoever starts a run in a process of its own (the command line, on SIGTERM or Ctrl-C) puts a
:class:`Stop` into the context and asks it to stop; the run finds it there, as Prefect passes only
plain parameters to a flow. Everything here is called in the event loop.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

# A service that takes longer to answer is left with its request; the rest of ten seconds is for the summary.
GRACE_S = 5.0


class CutShort(Exception):
    """A step was still under way when the grace was over; whether it did its work is not known."""


class Stop:
    """Whether a run has been asked to stop, and what is cut short when it is.

    Attributes:
        signal: Number of the signal that asked; 0 for as long as none did.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.signal = 0
        self._grace_s = grace_s
        self._breakable: set[asyncio.Task[Any]] = set()
        self._broken: set[asyncio.Task[Any]] = set()
        self._steps: set[asyncio.Future[Any]] = set()
        self._over = False

    @property
    def asked(self) -> bool:
        """True once the run is to wind down."""
        return self.signal > 0

    @property
    def why(self) -> str:
        """Name of the signal that asked, such as "SIGTERM", or ""."""
        return signal.Signals(self.signal).name if self.signal else ""

    @property
    def exit_code(self) -> int:
        """What a process returns that a signal ended, as shells count; 0 if none did."""
        return 128 + self.signal if self.signal else 0

    def ask(self, signum: int) -> None:
        """Ask the run to wind down: pauses end now, steps under way after the grace."""
        if self.asked:
            return
        self.signal = signum
        self._broken = self._breakable - {asyncio.current_task()}  # who asks is not waiting
        for task in self._broken:
            task.cancel()
        asyncio.get_running_loop().call_later(self._grace_s, self._cut)

    def _cut(self) -> None:
        self._over = True
        for step in self._steps:
            step.cancel()

    async def pause(self, sleep: Awaitable[None]) -> bool:
        """Sleep, unless or until we are asked to stop; say whether to go on."""
        await self.unless_asked(sleep)
        return not self.asked

    async def unless_asked(self, step: Awaitable[T]) -> T | None:
        """Take a step that decides nothing; None if we are asked to stop before it has ended."""
        if self.asked:
            if isinstance(step, Coroutine):
                step.close()
            return None
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (we are in one)
        cancelled = task.cancelling()
        self._breakable.add(task)
        try:
            # No task of its own: thousands wait here at once, and each wakes up every minute.
            return await step
        except asyncio.CancelledError:
            if task not in self._broken or task.uncancel() > cancelled:
                raise
            return None
        finally:
            self._breakable.discard(task)
            self._broken.discard(task)

    async def finish(self, step: Coroutine[Any, Any, T]) -> T:
        """Let a step end even if we are cancelled or asked to stop meanwhile.

        A request that has left is answered sooner or later; walking away would lose the answer.

        Raises:
            CutShort: It was not over when the grace was. A thread that it waits for goes on.
        """
        running = asyncio.ensure_future(step)
        self._steps.add(running)
        if self._over:
            running.cancel()
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if not running.done():  # it is we who are cancelled
                await asyncio.wait([running])
                if not running.cancelled():
                    running.exception()  # the ledger has it
                raise
            if running.cancelled() and self._over:
                raise CutShort from None
            raise
        finally:
            self._steps.discard(running)


stop: ContextVar[Stop | None] = ContextVar("stop", default=None)
