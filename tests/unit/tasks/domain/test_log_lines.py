"""Log records as JSON."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.log_lines import JsonFormatter
from tasks.domain.redaction import RedactingFilter


class Written:
    """A logger that writes JSON to memory, guarded as ours are."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(JsonFormatter())
        handler.addFilter(RedactingFilter())
        self.log = logging.Logger("reelroute.test", logging.DEBUG)  # noqa: LOG001 (of its own, not in the tree)
        self.log.addHandler(handler)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().split("\n")[:-1]]


@pytest.fixture
def written() -> Written:
    return Written()


def test_a_line_says_when_where_how_bad_and_what(written: Written) -> None:
    """Under names that do not change, and in UTC."""
    written.log.warning(
        "job %s: %d tries", "j-1", 3, extra={"job_id": "j-1", "tries": 3, "last": True, "odd": object()}
    )
    (line,) = written.lines()

    assert line.pop("time").endswith("+00:00")
    assert {
        "level": "warning",
        "logger": "reelroute.test",
        "message": "job j-1: 3 tries",
        "job_id": "j-1",
        "tries": 3,
        "last": True,
    } == line


def test_an_exception_is_part_of_its_line(written: Written) -> None:
    """With its traceback; a collector must not see a record in pieces."""
    try:
        raise ValueError("line one\nline two")
    except ValueError:
        written.log.exception("failed", stack_info=True)
    (line,) = written.lines()

    assert "Traceback" in line["exception"]
    assert "line one\nline two" in line["exception"]
    assert "Stack (most recent call last)" in line["exception"]


def test_an_extra_never_takes_the_place_of_what_every_line_has(written: Written) -> None:
    """Filters and alerts go by these names."""
    written.log.info("true", extra={"level": "false", "time": "false", "logger": "false"})
    (line,) = written.lines()

    assert ("info", "reelroute.test", "true") == (line["level"], line["logger"], line["message"])


@given(st.text(st.characters(codec=None), max_size=200))
def test_one_record_is_one_line_whatever_it_says(text: str) -> None:
    """Line breaks of every kind, control characters and halves of characters included."""
    written = Written()
    written.log.info("%s", text.replace("?", "").replace("=", ""))

    assert 1 == len(written.lines())
    assert written.stream.getvalue().isascii()


def test_secrets_are_taken_out_first(written: Written) -> None:
    """Of messages, exceptions and extras."""
    url = "https://host/video.mp4?X-Amz-Signature=5ec7e7"
    try:
        raise OSError(f"cannot open {url}")
    except OSError:
        written.log.exception("GET %s", url, extra={"url": url})

    assert "5ec7e7" not in written.stream.getvalue()
    assert "https://host/video.mp4?***" == written.lines()[0]["url"]
