"""Values survive the way to the database and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.job import Failure, InferenceSpec, ModelRef
from tasks.domain.video import VideoInfo
from tasks.ledger import columns

# Every code point there is, surrogates and NUL included.
ANY_TEXT = st.text(st.characters())
# JSON joins a high and a low surrogate that stand side by side; file names have low ones only.
NAMES = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(categories=["Cs"], min_codepoint=0xDC80))
MOMENTS = st.datetimes(timezones=st.timezones() | st.just(timezone(timedelta(hours=-11, minutes=-30))))


class TestText:
    """Text that databases refuse."""

    @given(ANY_TEXT)
    def test_any_text_comes_back(self, text: str) -> None:
        """Code point for code point, and what is stored is plain UTF-8 without NUL."""
        stored = columns.text_to_stored(text)
        assert b"\0" not in stored.encode("utf-8", "strict")
        assert text == columns.text_from_stored(stored)

    @given(ANY_TEXT, ANY_TEXT)
    def test_different_texts_stay_different(self, one: str, other: str) -> None:
        """So that comparing in the database is comparing the texts."""
        assert (one == other) == (columns.text_to_stored(one) == columns.text_to_stored(other))

    @pytest.mark.parametrize(
        ("text", "stored"),
        [
            ("s3://b/ünï 🎬.mp4", "s3://b/ünï 🎬.mp4"),
            ("caf\udce9", "caf\\udce9"),
            ("\\udce9", "\\\\udce9"),
            ("a\0b\\", "a\\u0000b\\\\"),
            ("", ""),
        ],
    )
    def test_ordinary_text_is_stored_as_it_is(self, text: str, stored: str) -> None:
        """Only what no database takes is written differently, and the sign for it."""
        assert stored == columns.text_to_stored(text)


class TestTime:
    """Moments."""

    @given(MOMENTS)
    def test_a_moment_comes_back(self, moment: datetime) -> None:
        """The same microsecond, in UTC."""
        try:
            utc = moment.astimezone(UTC)
        except OverflowError:  # at either end of the calendar
            return
        back = datetime.fromisoformat(columns.time_to_stored(moment))
        assert utc == back
        assert timedelta(0) == back.utcoffset()

    @given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
    def test_stored_moments_sort_as_moments(self, one: datetime, other: datetime) -> None:
        """Text order is time order, whole seconds and early years included."""
        assert (one < other) == (columns.time_to_stored(one) < columns.time_to_stored(other))

    def test_a_moment_without_zone_is_refused(self) -> None:
        """It could be any of 24."""
        with pytest.raises(ValueError, match="no time zone"):
            columns.time_to_stored(datetime(2026, 3, 1))  # noqa: DTZ001


class TestJson:
    """Values with several fields."""

    @given(
        st.builds(
            InferenceSpec,
            NAMES,
            st.lists(st.builds(ModelRef, NAMES, NAMES, NAMES), max_size=3).map(tuple),
            st.floats(0, 1000),
            st.none() | st.floats(0, 1),
        )
    )
    def test_a_spec_comes_back(self, spec: InferenceSpec) -> None:
        """With its identity, which is what its job's key was made of."""
        back = columns.spec_from_stored(columns.spec_to_stored(spec))
        assert spec == back
        assert spec.identity() == back.identity()

    @given(
        st.builds(
            VideoInfo,
            width=st.integers(1, 10**5),
            height=st.integers(1, 10**5),
            rotation=st.sampled_from([0, 90, 180, 270]),
            fps=st.fractions(min_value=0),
            frame_count=st.integers(0),
            duration_s=st.floats(0, allow_infinity=False),
            container=NAMES,
            codec=NAMES,
        )
    )
    def test_an_info_comes_back(self, info: VideoInfo) -> None:
        """The frame rate exactly, the duration to the last digit."""
        assert info == columns.info_from_stored(columns.info_to_stored(info))

    @given(st.builds(Failure, NAMES, NAMES, NAMES, NAMES))
    def test_a_failure_comes_back(self, failure: Failure) -> None:
        """All four parts."""
        assert failure == columns.failure_from_stored(columns.failure_to_stored(failure))

    @given(st.lists(NAMES).map(tuple))
    def test_uris_come_back(self, uris: tuple[str, ...]) -> None:
        """In their order, none lost, none included."""
        assert uris == columns.uris_from_stored(columns.uris_to_stored(uris))
