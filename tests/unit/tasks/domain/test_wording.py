"""Counts and reasons in sentences read as people write them."""

from __future__ import annotations

import pytest

from tasks.domain.wording import count_of, innermost_reason


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 videos are"), (1, "1 video is"), (2, "2 videos are"), (12345, "12,345 videos are")]
)
def test_one_is_singular_and_all_else_is_not(count: int, said: str) -> None:
    """With its verb; large numbers are grouped."""
    assert said == count_of(count, "video is", "videos are")
    assert said.removesuffix(" is").removesuffix(" are") == count_of(count, "video")


def test_the_reason_of_a_lost_connection_is_the_innermost_one() -> None:
    """Not what three libraries have wrapped around it."""
    assert "timed out" == innermost_reason(wrapped(TimeoutError("timed out")))
    assert "Name or service not known" == innermost_reason(wrapped(OSError(-2, "Name or service not known")))
    assert "Remote end closed connection" == innermost_reason(
        wrapped(ConnectionResetError("Remote end closed connection"))
    )
    assert "OSError" == innermost_reason(OSError())


def wrapped(inner: OSError) -> BaseException:
    """An error as `requests` raises it around one of urllib3's."""
    try:
        try:
            raise inner
        except OSError as error:
            raise RuntimeError(f"<HTTPConnection at 0x7f>: Failed to establish: {error}") from error
    except RuntimeError as error:
        try:
            raise OSError(f"HTTPConnectionPool(host='h'): Max retries exceeded (Caused by {error!r})")
        except OSError as outer:
            return outer
