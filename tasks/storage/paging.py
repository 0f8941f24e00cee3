"""Read a listing page by page, with the next page already on its way."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(pages: Iterator[T]) -> Iterator[T]:
    """Yield each page while one background thread fetches the next.

    Two pages exist at a time, and nothing is fetched before the first is asked for. ``pages`` is
    only ever advanced by that thread; its errors come out where the missing page would have.
    A consumer that stops early waits for the page under way, and no thread is left behind.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="listing") as fetcher:
        done = object()
        following = fetcher.submit(next, pages, done)
        while (page := following.result()) is not done:
            following = fetcher.submit(next, pages, done)
            yield page  # type: ignore[misc]  # the only page that is no T is `done`
