"""Fields of the API that come in more than one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.wire import failure_code, job_id, job_status

JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)


@given(st.integers(0, 10**8))
def test_a_status_may_be_quoted(status: int) -> None:
    """Numbers and quoted numbers are the same status."""
    assert job_status(status) == job_status(str(status)) == job_status(f" {status}\n") == status


@given(JSON)
def test_any_value_has_a_reading(value: object) -> None:
    """Nothing that JSON can hold breaks the reading, and nothing odd becomes an answer."""
    status = job_status(value)
    assert status is None or status >= 0
    assert isinstance(job_id(value), str)
    assert failure_code(value) in ("", value)


@pytest.mark.parametrize("value", [True, False, 1.0, -1, "-1", "", "one", "1.0", "²", "٣", 10**9, None, [], {}])
def test_what_is_no_status(value: object) -> None:
    """A job is never done, running or failed by accident."""
    assert job_status(value) is None


@pytest.mark.parametrize(
    ("value", "known"),
    [("a-b", "a-b"), (" x ", "x"), (7, "7"), (True, ""), (None, ""), ("", ""), (1.5, ""), (10**501, "")],
)
def test_what_is_a_job_id(value: object, known: str) -> None:
    """Text and whole numbers name a job."""
    assert job_id(value) == known


@pytest.mark.parametrize("value", ["video_unreadable", "fps-too-high", "e404", "oom"])
def test_slugs_are_codes(value: str) -> None:
    """The service's own codes are kept."""
    assert failure_code(value) == value


@pytest.mark.parametrize(
    "value", ["Could not read", "a b", "_x", "x_", "UPPER", "x" * 65, "https://h/?api_key=1", "é", "", 3, None, {}]
)
def test_sentences_are_no_codes(value: object) -> None:
    """What is no slug stays a message."""
    assert failure_code(value) == ""
