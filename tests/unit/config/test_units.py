"""Durations, sizes and globs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from config.units import check_glob, read_duration, read_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("36h", timedelta(hours=36)),
        ("7d", timedelta(days=7)),
        ("1.5h", timedelta(minutes=90)),
        ("0.1s", timedelta(milliseconds=100)),
        ("0s", timedelta(0)),
        ("3650d", timedelta(days=3650)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    """Each unit is what it says."""
    assert expected == read_duration(text)


@given(st.integers(0, 3650), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]))
@settings(max_examples=50)
def test_a_whole_number_of_a_unit_is_exact(amount: int, unit: tuple[str, int]) -> None:
    """No duration is rounded on the way in."""
    assert timedelta(seconds=amount * unit[1]) == read_duration(f"{amount}{unit[0]}")


@pytest.mark.parametrize(
    "text",
    ["", "s", "90", "90 s", "36 hours", "-5m", "1h30m", "5M", "5ms", "1e3s", "٣s", "5s\n", " 5s", ".5h", "5.h", "inf"],
)
def test_other_spellings_of_a_duration_are_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(PydanticCustomError, match="is not a duration"):
        read_duration(text)


@pytest.mark.parametrize("number", [60, 1.5, True])
def test_a_number_is_no_duration(number: float) -> None:
    """60 could be seconds or minutes, so it is neither."""
    with pytest.raises(PydanticCustomError, match="has no unit"):
        read_duration(number)


@pytest.mark.parametrize("text", ["3651d", "9" * 400 + "d"])
def test_a_duration_that_would_overflow_a_date_is_refused(text: str) -> None:
    """Whatever was typed, it is told as a mistake and not as a crash."""
    with pytest.raises(PydanticCustomError, match="longer than ten years"):
        read_duration(text)


def test_a_duration_that_is_one_already_stays() -> None:
    """Models can be made in Python too."""
    assert timedelta(seconds=3) == read_duration(timedelta(seconds=3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0B", 0),
        ("500B", 500),
        ("10KB", 10_000),
        ("10MB", 10_000_000),
        ("20GB", 20_000_000_000),
        ("1TB", 10**12),
        ("512KiB", 524_288),
        ("1MiB", 1_048_576),
        ("2GiB", 2_147_483_648),
        ("1.5GB", 1_500_000_000),
        ("0.1GB", 100_000_000),
    ],
)
def test_a_size_is_a_number_and_a_unit(text: str, expected: int) -> None:
    """MB counts in thousands, MiB in 1024s, and a fraction is exact."""
    assert expected == read_size(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("10mb", "10MB"), ("10Mb", "10MB"), ("1gib", "1GiB"), ("5kB", "5KB"), ("5M", ""), ("5bytes", "")],
)
def test_a_unit_in_the_wrong_case_is_refused_with_the_right_one(text: str, meant: str) -> None:
    """Mb could be megabits, so we ask."""
    with pytest.raises(PydanticCustomError, match="unknown unit") as caught:
        read_size(text)
    assert meant == (caught.value.context or {})["suggestion"]


@pytest.mark.parametrize("value", ["", "MB", "10 MB", "-1MB", "10", "1,5GB", [], None])
def test_what_is_not_a_size_is_refused(value: object) -> None:
    """Nothing is guessed."""
    with pytest.raises(PydanticCustomError, match="is not a size"):
        read_size(value)


def test_a_number_is_no_size() -> None:
    """A bare number is refused even where bytes are likely."""
    with pytest.raises(PydanticCustomError, match="has no unit"):
        read_size(1_000_000)


def test_a_fraction_of_a_byte_is_refused() -> None:
    """A size is a whole number of bytes."""
    with pytest.raises(PydanticCustomError, match="whole number of bytes"):
        read_size("0.5B")


@pytest.mark.parametrize(
    "pattern",
    ["**/*.mp4", "*.MOV", "cam-?/**", "a**b.mp4", "[ab]*.mp4", "[!a-c]/x", "[[]x", "[]]x", "[{]x", "x]", "a,b", "é/ñ*"],
)
def test_globs_that_can_match_are_taken_as_they_are(pattern: str) -> None:
    """A pattern is not rewritten."""
    assert pattern == check_glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "reason", "meant"),
    [
        ("", "is empty", ""),
        ("/a/*.mp4", "does not start below", "a/*.mp4"),
        ("./a/*.mp4", "does not start below", "a/*.mp4"),
        ("drafts/", "names a folder", "drafts/**"),
        ("[ab", "not closed", ""),
        ("a[", "not closed", ""),
        ("*.{mp4,mov}", "braces", ""),
        ("[z-a].mp4", "runs backwards", ""),
    ],
)
def test_globs_that_could_match_nothing_are_refused(pattern: str, reason: str, meant: str) -> None:
    """A pattern that would silently find no video is a mistake to tell."""
    with pytest.raises(PydanticCustomError, match=reason) as caught:
        check_glob(pattern)
    assert meant == (caught.value.context or {})["suggestion"]
