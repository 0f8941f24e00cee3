"""Asking what may not answer."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from deployments.services.probe import Probe
from tasks.domain.errors import LedgerUnavailable, ServiceUnavailable

LONG = timedelta(seconds=60)
AT_ONCE = timedelta(0)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_fresh_for_a_while_and_then_asked_for_again() -> None:
    """Many load balancers cost a database one question."""
    clock, answers = Clock(), iter(range(10))
    probe = Probe(lambda: next(answers), fresh_for=timedelta(seconds=5), clock=clock)

    first = [probe.answer(LONG), probe.answer(LONG)]
    clock.now += 4.9
    first.append(probe.answer(LONG))
    clock.now += 0.1

    assert [0, 0, 0] == first
    assert 1 == probe.answer(LONG)


def test_an_error_is_an_answer_too() -> None:
    """It comes to everybody who asks while it is fresh, and no longer."""
    clock, asked = Clock(), []

    def ask() -> int:
        asked.append(1)
        if len(asked) == 1:
            raise LedgerUnavailable("gone")
        return 7

    probe = Probe(ask, clock=clock)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="gone"):
            probe.answer(LONG)
    clock.now += 5
    assert 7 == probe.answer(LONG)
    assert 2 == len(asked)


def test_a_timeout_that_was_raised_is_told_from_one_that_is_ours() -> None:
    """A check may fail by a TimeoutError of its own."""

    def ask() -> None:
        raise TimeoutError("the database's own")

    with pytest.raises(TimeoutError, match="the database's own"):
        Probe(ask).answer(LONG)


def test_who_asks_does_not_wait_longer_than_he_said_and_nobody_asks_twice() -> None:
    """A database that hangs is asked once, however often we are scraped; its late answer counts."""
    may_answer, asked = threading.Event(), []

    def ask() -> str:
        asked.append(1)
        assert may_answer.wait(60)
        return "at last"

    probe = Probe(ask, fresh_for=LONG)
    for _ in range(3):
        with pytest.raises(ServiceUnavailable):
            probe.answer(AT_ONCE)
    may_answer.set()

    assert "at last" == probe.answer(LONG)
    assert 1 == len(asked)
