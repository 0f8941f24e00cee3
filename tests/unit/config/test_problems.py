"""How mistakes read."""

from __future__ import annotations

import pickle

import pytest

from config.problems import PipelineInvalid, Problem, nearest, quoted
from tasks.domain.errors import InputInvalid

FSP = Problem(
    file="demo.yaml",
    line=12,
    column=3,
    field="inference.fsp",
    value="",
    message="unknown key 'fsp'",
    allowed="backend, fps, model",
    suggestion="fps",
)
PLAIN = Problem(file="demo.yaml", line=1, column=1, field="", value="", message="the file is empty")


def test_a_problem_reads_as_one_block() -> None:
    """File, line, field, what is wrong, what was meant; then what is allowed."""
    expected = "demo.yaml:12: inference.fsp: unknown key 'fsp'; did you mean 'fps'?\n    allowed: backend, fps, model"
    assert expected == str(FSP)


def test_what_is_not_known_is_left_out() -> None:
    """No empty field, no empty line."""
    assert "demo.yaml:1: the file is empty" == str(PLAIN)


def test_the_error_carries_every_problem() -> None:
    """As text for people, as values for --json, and as what the command line treats as wrong input."""
    error = PipelineInvalid([PLAIN, FSP])
    assert (PLAIN, FSP) == error.problems
    assert f"{PLAIN}\n{FSP}" == str(error) == error.message
    assert isinstance(error, InputInvalid)
    assert ("pipeline_invalid", 2) == (error.code, error.exit_code)


def test_the_error_survives_pickling() -> None:
    """Prefect hands errors from process to process."""
    copy = pickle.loads(pickle.dumps(PipelineInvalid([FSP])))
    assert ((FSP,), str(FSP)) == (copy.problems, str(copy))


@pytest.mark.parametrize(
    ("word", "expected"),
    [("fsp", "fps"), ("FPS", "fps"), ("modle", "model"), ("min-size", "min_size"), ("zzz", ""), ("", "")],
)
def test_the_nearest_known_word_is_found(word: str, expected: str) -> None:
    """Slips of the keyboard are understood, other words are not."""
    assert expected == nearest(word, ["fps", "model", "min_size"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "'a'"),
        ("a\x1b[31m\n", "'a\\x1b[31m\\n'"),
        ("x" * 81, "'" + "x" * 79 + "…'"),
        ("x" * 80, "'" + "x" * 80 + "'"),
    ],
)
def test_values_are_shown_harmlessly(value: str, expected: str) -> None:
    """No control character reaches the terminal, and nothing floods it."""
    assert expected == quoted(value)
