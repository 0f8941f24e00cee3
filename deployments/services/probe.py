"""Asking what may not answer: a database that is gone must not hang who wants to know whether it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import Generic, TypeVar

from tasks.domain.errors import ServiceUnavailable

T = TypeVar("T")

WITHIN = timedelta(seconds=3)
FRESH_FOR = timedelta(seconds=5)


class Probe(Generic[T]):
    """One question, asked in a thread of its own and never twice at a time.

    An answer, or the error that came instead, is given to everybody who asks while it is fresh.
    Who asks while the question is open waits for the same answer.
    """

    def __init__(
        self,
        ask: Callable[[], T],
        *,
        fresh_for: timedelta = FRESH_FOR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``ask`` may block for as long as it likes; ``clock`` gives seconds that never go back."""
        self._ask = ask
        self._fresh_for_s = fresh_for.total_seconds()
        self._clock = clock
        self._lock = threading.Lock()
        self._latest: Future[T] | None = None
        self._fresh_until = 0.0

    def begin(self) -> None:
        """Ask, unless the question is open or its answer is fresh; do not wait."""
        self._open()

    def answer(self, within: timedelta = WITHIN) -> T:
        """What the question was answered.

        Raises:
            ServiceUnavailable: There is no answer within this time.
            Exception: Whatever the question raised.
        """
        latest = self._open()
        try:
            return latest.result(max(0.0, within.total_seconds()))
        except TimeoutError:
            if latest.done():
                raise
            raise ServiceUnavailable("there is no answer yet", hint="it is out of reach, or very busy") from None

    def _open(self) -> Future[T]:
        with self._lock:
            if self._latest is None or (self._latest.done() and self._clock() >= self._fresh_until):
                self._latest = Future()
                # A daemon: a question that nobody answers must not keep the process from ending.
                threading.Thread(target=self._put, args=(self._latest,), daemon=True).start()
            return self._latest

    def _put(self, question: Future[T]) -> None:
        try:
            answer = self._ask()
        except BaseException as error:  # noqa: BLE001 (it is raised where the answer is waited for)
            self._fresh_until = self._clock() + self._fresh_for_s
            question.set_exception(error)
        else:
            self._fresh_until = self._clock() + self._fresh_for_s
            question.set_result(answer)
