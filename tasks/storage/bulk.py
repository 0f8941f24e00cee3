"""Do one thing to many objects, several at a time, without holding them all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

# Enough to keep every worker busy while the next item is made.
_QUEUED_PER_WORKER = 4
_HELD_BYTES = 4 << 20


def for_each(
    act: Callable[[T], None], items: Iterator[T], *, workers: int, size_of: Callable[[T], int] = lambda _: 0
) -> int:
    """Call ``act`` on each item from ``workers`` threads; return how many.

    Takes items as they are needed: a few per worker, and no more than 4 MB of them by
    ``size_of`` besides the last one. After the first failure no new item is begun, those under
    way are waited for, and the failure is raised; an error of the iterator counts as one.
    """
    count = held = 0
    with ThreadPoolExecutor(workers) as pool:
        pending: dict[Future[None], int] = {}
        try:
            for item in items:
                size = size_of(item)
                future = pool.submit(act, item)
                del item  # what has been written is not held
                pending[future] = size
                held += size
                while pending and (len(pending) >= workers * _QUEUED_PER_WORKER or held >= _HELD_BYTES):
                    done = wait(pending, return_when=FIRST_COMPLETED).done
                    count += _settle(done)
                    held -= sum(pending.pop(each) for each in done)
            count += _settle(wait(pending).done)
        except BaseException:
            for future in pending:
                future.cancel()
            raise
    return count


def _settle(done: set[Future[None]]) -> int:
    for future in done:
        future.result()
    return len(done)
