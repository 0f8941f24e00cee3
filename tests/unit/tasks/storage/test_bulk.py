"""Acting on many things at once, without holding many."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tasks.storage.bulk import for_each


def test_large_items_are_not_taken_ahead() -> None:
    """However many workers are free, no more than some megabytes wait for them."""
    size, taken, done = 1 << 20, 0, 0
    lock = threading.Lock()
    ahead = []

    def items() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(40):
            taken += 1
            ahead.append(taken - done)
            yield bytes(size)

    def act(_: bytes) -> None:
        nonlocal done
        with lock:
            done += 1

    assert 40 == for_each(act, items(), workers=32, size_of=len)
    assert max(ahead) <= 5


def test_the_first_failure_ends_it() -> None:
    """Items that nobody took yet are not taken any more."""
    taken = []

    def items() -> Iterator[int]:
        for number in range(1_000):
            taken.append(number)
            yield number

    def act(number: int) -> None:
        if number == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        for_each(act, items(), workers=2)
    assert len(taken) < 100
