"""Reading answers: waits, explanations, refusals."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.domain.errors import Ambiguous, JobUnknown, Permanent, RateLimited, Retryable, ServiceUnavailable
from tasks.inference.answers import LONGEST_WORDS, Answer, Discretion, refusal, retry_after_s, usable_url

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)


@given(st.integers(0, 10**6))
def test_seconds_are_seconds(seconds: int) -> None:
    """A number is taken as it is."""
    assert retry_after_s(f"{seconds}", NOW) == seconds


@given(st.integers(-(10**6), 10**6))
def test_a_date_counts_from_now(seconds: int) -> None:
    """A date is a wait, and the past is none."""
    header = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_s(header, NOW) == max(0, seconds)


@given(st.text())
def test_nonsense_is_no_wait(header: str) -> None:
    """Whatever a header holds, the answer is None or a wait that can be waited."""
    wait_s = retry_after_s(header, NOW)
    assert wait_s is None or 0 <= wait_s < float("inf")


@pytest.mark.parametrize("header", [None, "", "-1", "inf", "nan", "soon", "Sat, 99 Nov 2026 10:00:00 GMT"])
def test_known_nonsense_is_none(header: str | None) -> None:
    """No wait is made up."""
    assert retry_after_s(header, NOW) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "m", "error": "e"}', "m"),
        (b'{"error": {"message": "deep", "status": 401}}', "deep"),
        (b'{"error": "e"}', "e"),
        (b'{"message": "", "detail": "d"}', "d"),
        (b'{"message": 3}', ""),
        (b'{"detail": [{"msg": "x"}]}', ""),
        (b"plain words\n", "plain words"),
        (b"<html>no</html>", ""),
        (b'["list"]', ""),
        (b'{"cut', ""),
        (b"", ""),
        (None, ""),
    ],
)
def test_the_services_own_words(body: bytes | None, words: str) -> None:
    """Only what a person can use is passed on."""
    assert Answer(400, httpx.Headers(), body).words() == words


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer(body: bytes) -> None:
    """No body breaks the reading of it."""
    answer = Answer(200, httpx.Headers(), body)
    assert isinstance(answer.words(), str)
    assert answer.json_object() is None or isinstance(json.loads(body), dict)


@given(st.integers(300, 599))
def test_every_status_has_one_meaning(status: int) -> None:
    """Every status is retryable or permanent, never ambiguous by itself; waits go with retryable ones."""
    error = refusal("asking", status, "words", 7.0, missing=JobUnknown)
    assert isinstance(error, Retryable) != isinstance(error, Permanent)
    assert not isinstance(error, Ambiguous)
    assert isinstance(error, Retryable) == (status in (408, 425, 429) or status >= 500)
    assert isinstance(error, JobUnknown) == (status in (404, 410))
    assert error.message == f"asking: the service answered {status} (words)"
    if isinstance(error, RateLimited | ServiceUnavailable):
        assert error.retry_after_s == 7.0


@given(before=st.text(max_size=50), after=st.text(max_size=500))
def test_shown_words_hold_no_key_and_fit_a_line(before: str, after: str) -> None:
    """The key itself is taken out wherever it stands, and the rest is short and printable."""
    shown = Discretion(SecretStr("K#3Y"))(f"{before}K#3Y{after}")
    assert "K#3Y" not in shown
    assert shown.isprintable()
    assert len(shown) <= LONGEST_WORDS + 1


@pytest.mark.parametrize("value", ["https://h/p?q=1", "http://127.0.0.1:9001/x", "HTTPS://H/", "http://[::1]:80/"])
def test_web_addresses_are_usable(value: str) -> None:
    """They are returned as they are."""
    assert usable_url(value) == value


@pytest.mark.parametrize(
    "value", [None, 3, "", "/r", "h/p", "file:///x", "http://", "http://[x", "http://h:x", "s3://b/k", "http://h/\n"]
)
def test_everything_else_is_not(value: object) -> None:
    """Whatever a service gives instead of a URL is no URL."""
    assert usable_url(value) == ""
