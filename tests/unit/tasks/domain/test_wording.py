"""Counts in sentences read as people write them."""

from __future__ import annotations

import pytest

from tasks.domain.wording import count_of


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 videos are"), (1, "1 video is"), (2, "2 videos are"), (12345, "12,345 videos are")]
)
def test_one_is_singular_and_all_else_is_not(count: int, said: str) -> None:
    """With its verb; large numbers are grouped."""
    assert said == count_of(count, "video is", "videos are")
    assert said.removesuffix(" is").removesuffix(" are") == count_of(count, "video")
