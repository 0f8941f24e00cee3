"""Pages come in order, one ahead and no more, and nothing is left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tasks.storage.paging import prefetched


class Pages:
    """Numbers its pages, and remembers who fetched how many."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.count, self.fails_at = count, fails_at
        self.fetched = 0
        self.threads: set[int] = set()
        self.one_more = threading.Semaphore(0)

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            self.threads.add(threading.get_ident())
            if number == self.fails_at:
                raise ZeroDivisionError
            self.fetched += 1
            self.one_more.release()
            yield number


def listing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("listing")]


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_every_page_comes_once_and_in_order(count: int) -> None:
    """Nothing is lost at either end, and an empty listing ends at once."""
    assert list(range(count)) == list(prefetched(iter(Pages(count))))
    assert [] == listing_threads()


def test_nothing_is_fetched_before_it_is_asked_for() -> None:
    """Making a listing costs no request."""
    pages = Pages(3)
    prefetched(iter(pages))
    assert 0 == pages.fetched


def test_one_page_is_fetched_ahead_by_another_thread() -> None:
    """While the first page is in use the second comes, and the third does not."""
    pages = Pages(10)
    listing = prefetched(iter(pages))
    assert 0 == next(listing)
    assert pages.one_more.acquire(timeout=10)
    assert pages.one_more.acquire(timeout=10)
    assert not pages.one_more.acquire(timeout=0.05)
    assert threading.get_ident() not in pages.threads
    assert 1 == len(pages.threads)
    listing.close()  # type: ignore[attr-defined]  # a generator


def test_an_error_comes_after_the_pages_before_it() -> None:
    """A page that cannot be had ends the listing with its own error, not in silence."""
    listing = prefetched(iter(Pages(5, fails_at=2)))
    assert [0, 1] == [next(listing), next(listing)]
    with pytest.raises(ZeroDivisionError):
        next(listing)
    assert [] == listing_threads()


def test_a_consumer_that_stops_leaves_no_thread() -> None:
    """Leaving a listing after its first page ends the fetcher."""
    for page in prefetched(iter(Pages(100))):
        assert 0 == page
        break
    assert [] == listing_threads()
