"""Waiting for Labelbox: again after what may pass, and until something is done. No vendor, no I/O."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tasks.domain.errors import RequestRefused, Retryable, ServiceUnavailable, StillProcessing

T = TypeVar("T")

FIRST_POLL_S, LONGEST_POLL_S, POLL_GROWTH = 0.25, 15.0, 1.5
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0


class AnswerLost(ServiceUnavailable):
    """The request left us and no answer came: what it asked for may have been done."""

    code = "answer_lost"


class NotThere(RequestRefused):
    """What was asked for does not exist, or no longer."""

    code = "not_there"


class Taken(RequestRefused):
    """Something of that name is there already."""

    code = "taken"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long we wait, and how.

    Attributes:
        attempts: How often a step is tried whose trouble may pass.
        deadline_s: Seconds that an import, or a video's processing, may take.
        sleep, clock, chance: Time and randomness (a number in [0, 1)), replaceable in tests.
    """

    attempts: int = 5
    deadline_s: float = 600.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def again(self, step: Callable[[], T], *, unless: type[Retryable] | tuple[()] = ()) -> T:
        """Take a step, again while its trouble may pass; waits as long as the service asks.

        Args:
            unless: Trouble that ends it at once all the same.
        """
        for attempt in range(1, self.attempts):
            try:
                return step()
            except Retryable as error:
                if isinstance(error, unless):
                    raise
                self.pause(attempt, error.retry_after_s)
        return step()

    def pause(self, attempt: int, asked_s: float | None = None) -> None:
        """Wait before attempt number ``attempt + 1``; not shorter than the service asks, up to a minute."""
        own = FIRST_WAIT_S * 2 ** (attempt - 1) * (0.75 + 0.5 * self.chance())
        self.sleep(min(max(own, asked_s or 0.0), LONGEST_WAIT_S))

    def until(self, look: Callable[[], T | None], what: str, *, within_s: float | None = None) -> T:
        """Look again and again, soon at first, until there is something to see.

        Args:
            within_s: Seconds instead of the deadline.

        Raises:
            StillProcessing: There was nothing before the deadline.
        """
        deadline_s = self.deadline_s if within_s is None else within_s
        wait, end = FIRST_POLL_S, self.clock() + deadline_s
        while (seen := look()) is None:
            left = end - self.clock()
            if left <= 0:
                raise StillProcessing(f"{what} was not done after {deadline_s:.0f} s")
            self.sleep(min(wait, max(left, 0.01)))
            wait = min(wait * POLL_GROWTH, LONGEST_POLL_S)
        return seen


def settle(
    find: Callable[[], list[str]], create: Callable[[], str], remove: Callable[[str], None], patience: Patience
) -> str:
    """Return the id of the one thing of a name; make it where there is none.

    After an answer that was lost it is looked for before it is made again. If another process made
    one at the same moment, the first of the two stays, and ours, which is new and empty, goes.

    Args:
        find: Ids of all things of that name, the one that counts first.
        create: Makes one and returns its id.
        remove: Removes the one that ``create`` has just made.
    """
    for attempt in range(1, patience.attempts + 1):
        if found := patience.again(find):
            return found[0]
        try:
            made = create()
        except (AnswerLost, Taken):
            if attempt == patience.attempts:
                raise
            patience.pause(attempt)
            continue
        first = next(iter(patience.again(find)), made)
        if first != made:
            patience.again(lambda own=made: remove(own))  # type: ignore[misc]
        return first
    raise AssertionError  # pragma: no cover (the last attempt returns or raises)
