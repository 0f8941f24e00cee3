"""The last border for errors that nobody foresaw: their text stays out of everything but the log.

Prefect keeps the text of an exception that ends a task or a flow in several tables of its database,
and nobody can say what the text of a bug holds: HTTP libraries quote whole URLs. The log is redacted
(:mod:`tasks.log_guard`); a state's message is not.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from tasks.domain.errors import ReelrouteError, Unforeseen
from tasks.domain.video import printable

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


@contextmanager
def discreet(what: str) -> Iterator[None]:
    """Let errors of ours pass, log any other with its traceback, and raise :class:`Unforeseen` in its place.

    Args:
        what: Is said to have failed.
    """
    try:
        yield
    except ReelrouteError:
        raise
    except Exception as error:
        log.exception("%s failed unexpectedly", what)
        raise Unforeseen(f"{what} failed unexpectedly: {type(error).__name__}") from None


@contextmanager
def hint_logged() -> Iterator[None]:
    """Log what to do about an error of ours that ends the block: of the error, Prefect shows the message alone."""
    try:
        yield
    except ReelrouteError as error:
        if error.hint:
            log.error("%s: %s", error.code, printable(error.hint))
        raise


def discreet_step(step: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Run a step in :func:`discreet`; for what becomes a task."""

    @wraps(step)
    async def guarded(*given: P.args, **named: P.kwargs) -> T:
        with discreet(f"the step {step.__name__}"):
            return await step(*given, **named)

    return guarded
