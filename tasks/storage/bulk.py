"""Do one thing to many objects, several at a time, without holding them all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

# Enough to keep every worker busy while the next item is made.
_QUEUED_PER_WORKER = 4


def for_each(act: Callable[[T], None], items: Iterator[T], *, workers: int) -> int:
    """Call ``act`` on each item from ``workers`` threads; return how many.

    Takes items as they are needed. After the first failure no new item is begun, those under
    way are waited for, and the failure is raised; an error of the iterator counts as one.
    """
    count = 0
    with ThreadPoolExecutor(workers) as pool:
        pending: set[Future[None]] = set()
        try:
            for item in items:
                pending.add(pool.submit(act, item))
                if len(pending) >= workers * _QUEUED_PER_WORKER:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    count += _settle(done)
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
