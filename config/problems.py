"""How mistakes in pipeline files and settings are told to people.

A :class:`Problem` is one mistake at one place; :class:`PipelineInvalid` carries all of a file's.
Validators refuse a value with :func:`refuse_value` or :func:`refuse`, whose words continue into
the message that people read. They never quote the value: the reader of the file does, as it is
written there, so that what came out of an environment variable is not shown.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic_core import ErrorDetails, PydanticCustomError

from tasks.domain.errors import InputInvalid
from tasks.domain.video import printable

LONGEST_VALUE_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake.

    Attributes:
        file: Path of the file, as one would open it from here.
        line, column: Where, counted from 1; 0 where there are no lines to see.
        field: Path of the key such as ``routes[1].uri``; "" for the file as a whole.
        value: As written in the file; "" if there is none, or none that may be shown.
        message: What is wrong, in one sentence without a full stop.
        allowed: What would be right, or "".
        suggestion: What was probably meant, or "".
    """

    file: str
    line: int
    column: int
    field: str
    value: str
    message: str
    allowed: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        meant = f"; did you mean '{self.suggestion}'?" if self.suggestion else ""
        allowed = f"\n    allowed: {self.allowed}" if self.allowed else ""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {field}{self.message}{meant}{allowed}"


class PipelineInvalid(InputInvalid):
    """A pipeline file has mistakes; nothing was run.

    Attributes:
        problems: All of them, in the order of the file.
    """

    code = "pipeline_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[PipelineInvalid], tuple[tuple[Problem, ...]]]:
        # Exceptions pickle by their args, which here are the text and not the problems.
        return type(self), (self.problems,)


def refuse_value(phrase: str, *, allowed: str = "", suggestion: str = "", hide: bool = False) -> PydanticCustomError:
    """Make the error that a validator raises when the value itself is wrong.

    Args:
        phrase: Continues a sentence that begins with the value: ``is not a duration``.
        allowed: What would be right, where that differs from what the field says of itself.
        suggestion: What was probably meant.
        hide: The value may hold a secret and must not be shown.
    """
    context = {"allowed": allowed, "suggestion": suggestion, "hide": hide}
    return PydanticCustomError("value_refused", phrase, context)


def refuse(sentence: str, *, allowed: str = "") -> PydanticCustomError:
    """Make the error that a validator raises when the value does not fit the rest of the file."""
    return PydanticCustomError("setting_refused", sentence, {"allowed": allowed})


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that ``word`` was probably meant to be, or ""."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def quoted(value: str) -> str:
    """Show a value in a message: in quotes, control characters escaped, cut when long."""
    text = printable(value)
    return f"'{text if len(text) <= LONGEST_VALUE_SHOWN else text[: LONGEST_VALUE_SHOWN - 1] + '…'}'"


_PHRASES = {
    "dict": "is not a group of keys",
    "bool": "is not true or false",
    "finite": "is not a number",
    "float": "is not a number",
    "greater": "is too low",
    "int": "is not a whole number",
    "less": "is too high",
    "literal": "is not one of the allowed values",
    "model": "is not a group of keys",
    "string": "is not allowed here",
    "too": "is empty",
    "tuple": "is not a list",
}


def explain_value(error: ErrorDetails, shown: str) -> tuple[str, str, str]:
    """Put one pydantic error about a value into words.

    Args:
        error: From ``ValidationError.errors()``.
        shown: The subject of the sentence: the value as written, in quotes.

    Returns:
        Message, what is allowed ("" if the field's own words do), and a suggestion or "".
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "setting_refused":
        return error["msg"], context["allowed"], ""
    if kind == "value_refused":
        subject = "the value" if context["hide"] else shown
        return f"{subject} {error['msg']}", context["allowed"], context["suggestion"]
    if error["input"] is None:
        return "has no value: give one, or leave the key out", "", ""
    if kind == "string_type":
        return f"{shown} is not text; put it in quotes", "", ""
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"{shown} {_PHRASES['literal']}", "", nearest(str(error["input"]), choices)
    return f"{shown} {_PHRASES.get(kind.split('_')[0], 'is not allowed here')}", "", ""
