"""Environment variables in values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.variables import fill_variables

ENV = {"HOME_DIR": "/home/ann", "EMPTY": "", "N1": "5", "lower": "x", "DOLLAR": "$N1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$HOME_DIR/in", "/home/ann/in"),
        ("${HOME_DIR}s", "/home/anns"),
        ("a$N1$N1", "a55"),
        ("$lower", "x"),
        ("${GONE:-default}", "default"),
        ("${GONE:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${N1:-default}", "5"),
        ("${GONE:-a b/c:-d}", "a b/c:-d"),
        ("$EMPTY", ""),
        ("$$N1", "$N1"),
        ("$$$N1", "$5"),
        ("cost: 5$$", "cost: 5$"),
        ("$DOLLAR", "$N1"),
        ("{date}/$N1", "{date}/5"),
    ],
)
def test_variables_are_filled_in(text: str, expected: str) -> None:
    """Every spelling gives its value, once: what a variable holds is not looked into."""
    assert (expected, []) == fill_variables(text, ENV)


@pytest.mark.parametrize("text", ["$GONE", "${GONE}", "x/${GONE}/y"])
def test_a_variable_that_is_not_set_is_named(text: str) -> None:
    """An unset variable is no empty string."""
    assert ["the environment variable GONE is not set"] == fill_variables(text, ENV)[1]


def test_every_unset_variable_is_named() -> None:
    """All mistakes of a value are told together."""
    assert 2 == len(fill_variables("$GONE/$ALSO_GONE/$N1", ENV)[1])


@pytest.mark.parametrize(
    "text", ["$", "5$", "$5", "${", "${}", "${1A}", "${A", "${A:?x}", "${A:-${N1}}", "$(ls)", "$é", "$ x"]
)
def test_a_dollar_that_starts_nothing_is_told(text: str) -> None:
    """Shell's other inventions, and a forgotten $$, are mistakes and not text."""
    assert ["a '$' that starts no variable"] == fill_variables(text, ENV)[1]


@given(st.text())
@settings(max_examples=100)
def test_a_doubled_dollar_always_gives_the_text_back(text: str) -> None:
    """Any text can be written."""
    assert (text, []) == fill_variables(text.replace("$", "$$"), {})
