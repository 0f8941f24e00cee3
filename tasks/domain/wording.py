"""Counts and reasons within sentences for people."""

from __future__ import annotations


def count_of(count: int, one: str, many: str = "") -> str:
    """Say how many there are: "1 video", "2 videos"; with the verb where there is one: "1 job is", "2 jobs are".

    Args:
        one: What follows a 1.
        many: What follows any other number; by default ``one`` and an s.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def innermost_reason(error: BaseException) -> str:
    """What lies at the bottom of an error that libraries have wrapped in their own: "Connection refused"."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    said = error.strerror if isinstance(error, OSError) else ""
    return said or str(error) or type(error).__name__
