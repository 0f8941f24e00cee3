"""Ends a run's submissions when the service does not answer them, before much is in doubt or in vain.

While the service is well, submissions go side by side. The first of a run goes alone, and after one
that the service did not answer itself they go one by one, with growing waits between: so an outage
leaves few jobs ``unknown``, and a service that only stumbles is found well again. A run that is shared
by several processes has one breaker in each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from tasks.domain.errors import (
    AuthRefused,
    NotTheService,
    PlanRefused,
    RateLimited,
    ReelrouteError,
    RequestRefused,
    ServiceUnavailable,
    SubmissionUnknown,
)

# In a row: submissions of which nobody knows whether they were taken, or that something else than the
# service answered; and those together with the ones that did not reach it, or that it sent away.
MOST_ODD = 3
MOST_SILENT = 6
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 30.0

_OWN_WORDS = (AuthRefused, PlanRefused, RateLimited, RequestRefused)


class Breaker:
    """Lets submissions through until several in a row were not answered by the service itself.

    Attributes:
        reason: Why no more are let through; None as long as they are.

    Args:
        pause: Sleeps so many seconds, and says whether to go on.
    """

    def __init__(self, pause: Callable[[float], Awaitable[bool]]) -> None:
        self.reason: ServiceUnavailable | None = None
        self._pause = pause
        self._one = asyncio.Lock()
        self._is_well = False
        self._odd = 0
        self._silent = 0

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait until a submission may go, and learn from how it ends.

        Raises:
            ServiceUnavailable: It may not: the ``reason``, or the run was asked to stop meanwhile.
        """
        async with AsyncExitStack() as alone:
            if not self._is_well:
                await alone.enter_async_context(self._one)
                await self._wait()
            if self._is_well:  # maybe found so while we waited for others
                await alone.aclose()
            if self.reason is not None:
                raise self.reason
            try:
                yield
            except (SubmissionUnknown, NotTheService) as error:
                self._doubted(error, odd=1)
                raise
            except ServiceUnavailable as error:
                self._doubted(error, odd=0)
                raise
            except _OWN_WORDS:
                self._answered()
                raise
            self._answered()

    async def _wait(self) -> None:
        if self._is_well or not self._silent or self.reason is not None:
            return
        if not await self._pause(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (self._silent - 1))):
            raise ServiceUnavailable("the run was asked to stop while it waited for the service")

    def _answered(self) -> None:
        self._is_well, self._odd, self._silent = True, 0, 0

    def _doubted(self, error: ReelrouteError, *, odd: int) -> None:
        self._is_well = False
        self._odd += odd
        self._silent += 1
        if self.reason is None and (self._odd >= MOST_ODD or self._silent >= MOST_SILENT):
            self.reason = ServiceUnavailable(
                f"{self._silent} submissions in a row were not answered by the service; the last: {error.message}",
                hint=error.hint if self._odd < MOST_ODD else NotTheService.default_hint,
            )
