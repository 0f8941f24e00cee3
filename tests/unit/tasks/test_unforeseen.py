"""Errors that nobody foresaw: their text goes to the log, and nowhere else."""

from __future__ import annotations

import inspect
import logging

import pytest

from tasks.domain.errors import InputInvalid, JobFailed, Unforeseen
from tasks.unforeseen import discreet, discreet_step, hint_logged

SECRET = "https://api.example/x?api_key=5ec7e7"


async def test_a_bug_ends_a_step_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """What is raised names the step and the kind; nothing of the rest hangs on it."""

    @discreet_step
    async def stumble(where: str) -> None:
        raise KeyError(where)

    with caplog.at_level(logging.ERROR), pytest.raises(Unforeseen) as raised:
        await stumble(SECRET)

    assert "the step stumble failed unexpectedly: KeyError" == raised.value.message
    assert ("unexpected", True) == (raised.value.code, bool(raised.value.hint))
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert "raise KeyError(where)" in caplog.text


async def test_errors_of_ours_and_results_pass_as_they_are() -> None:
    """A step looks as it did, to Prefect too."""
    failure = JobFailed("no")

    @discreet_step
    async def decide(number: int) -> int:
        """Decide."""
        if number:
            return number
        raise failure

    assert 7 == await decide(7)
    with pytest.raises(JobFailed) as raised:
        await decide(0)
    assert failure is raised.value
    assert ("decide", "Decide.", ["number"]) == (
        decide.__name__,
        decide.__doc__,
        [*inspect.signature(decide).parameters],
    )


def test_being_stopped_is_no_error() -> None:
    """Ctrl-C and an exit pass too."""
    with pytest.raises(KeyboardInterrupt), discreet("the run"):
        raise KeyboardInterrupt


def test_what_to_do_about_an_error_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Prefect shows a run's message only: a form's wrong pipeline would not tell which there are."""
    with caplog.at_level(logging.ERROR), pytest.raises(InputInvalid), hint_logged():
        raise InputInvalid("there is no pipeline 'yrad'", hint="did you mean 'yard'?\nknown pipelines: yard")

    assert ["input_invalid: did you mean 'yard'?\\nknown pipelines: yard"] == [one.message for one in caplog.records]
