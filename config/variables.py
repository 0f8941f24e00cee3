"""Environment variables in the strings of a pipeline file."""

from __future__ import annotations

import re
from collections.abc import Mapping

WAYS = "$NAME, ${NAME}, ${NAME:-default}, and $$ for a dollar"

_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}$]*))?\}|(?P<wrong>))"
)


def fill_variables(text: str, env: Mapping[str, str]) -> tuple[str, list[str]]:
    """Replace ``$NAME``, ``${NAME}``, ``${NAME:-default}`` and ``$$``.

    As in a shell, the default also stands in for a variable that is set to nothing.

    Returns:
        The text, and what is wrong with it: one sentence per unset variable and stray dollar.
    """
    wrong: list[str] = []

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        name = match["plain"] or match["braced"]
        if not name:
            wrong.append("a '$' that starts no variable")
            return ""
        if match["default"] is not None:
            return env.get(name) or match["default"]
        if name not in env:
            wrong.append(f"the environment variable {name} is not set")
        return env.get(name, "")

    return _REFERENCE.sub(value, text), wrong
