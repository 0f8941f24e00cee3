"""Names of uploads, and which of two writes came later."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.upload import UploadEvent, is_later, upload_key


def test_the_uri_is_that_of_a_listing() -> None:
    """Verbatim."""
    assert "s3://yard/a b/c+é%20.mp4" == UploadEvent(scheme="s3", container="yard", key="a b/c+é%20.mp4").uri


@given(st.tuples(*[st.text(max_size=9)] * 3), st.tuples(*[st.text(max_size=9)] * 3))
def test_a_key_is_of_one_version_in_one_pipeline(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Equal for equals, 32 hex digits, and never the same by moving a character from one part to the next."""
    assert 32 == len(upload_key(*one))
    assert (one == other) == (upload_key(*one) == upload_key(*other))


@pytest.mark.parametrize(
    ("one", "other", "later"),
    [
        ("0055AED6DCD90281E6", "0055AED6DCD90281E5", True),
        ("0055AED6DCD90281E5", "0055AED6DCD90281E6", False),
        ("00b", "00A", True),  # hex, in either case
        ("0055AED6DCD90281E6", "0055AED6DCD90281E", False),  # of another length: nobody knows
        ("0055AED6DCD90281E", "0055AED6DCD90281E6", False),
        ("", "", False),
        ("1", "", False),
    ],
)
def test_later_only_if_that_is_certain(one: str, other: str, later: bool) -> None:
    """Dropping an event on a guess would lose an upload."""
    assert later == is_later(one, other)
