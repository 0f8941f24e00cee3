"""Durations and sizes as people write them in a pipeline file, and globs.

Each function reads one value for a pydantic field and refuses it with
:func:`config.problems.refuse_value`. No other units are known, and none is assumed: a bare
number is refused, because ``60`` would be seconds to one reader and minutes to the next.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from config.problems import refuse_value

DURATIONS = "a number and a unit: 90s, 15m, 36h or 7d"
SIZES = "a number and a unit: 512KiB, 10MB or 20GB (MB is 1000 x 1000 bytes, MiB is 1024 x 1024)"
GLOBS = "patterns of *, ?, [..] and ** below the source, such as **/*.mp4"

_AMOUNT = r"([0-9]+(?:\.[0-9]+)?)"
_DURATION = re.compile(_AMOUNT + r"([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# Longer ones are slips of the keyboard, and would overflow a date when added to it.
_LONGEST_S = 3_650 * _SECONDS["d"]

_SET = re.compile(r"\[!?(\]?[^\]]*)\]")
_SIZE = re.compile(_AMOUNT + r"([A-Za-z]+)")
_BYTES = {
    "B": 1,
    **{prefix + "B": 1_000 ** (power + 1) for power, prefix in enumerate("KMGT")},
    **{prefix + "iB": 1_024 ** (power + 1) for power, prefix in enumerate("KMGT")},
}


def read_duration(value: object) -> object:
    """Turn ``90s``, ``15m``, ``1.5h`` or ``7d`` into a timedelta; a timedelta stays as it is."""
    if isinstance(value, bool | int | float):
        raise refuse_value("has no unit", allowed=DURATIONS)
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value)
    if match is None:
        raise refuse_value("is not a duration", allowed=DURATIONS)
    seconds = Decimal(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST_S:
        raise refuse_value("is longer than ten years", allowed=DURATIONS)
    return timedelta(seconds=float(seconds))


def read_size(value: object) -> object:
    """Turn ``10MB``, ``1.5GB`` or ``512KiB`` into bytes; refuse a bare number."""
    if not isinstance(value, str):
        raise refuse_value("has no unit" if isinstance(value, int | float) else "is not a size", allowed=SIZES)
    match = _SIZE.fullmatch(value)
    if match is None:
        raise refuse_value("is not a size", allowed=SIZES)
    amount, unit = match.groups()
    if unit not in _BYTES:
        by_lower_case = {known.lower(): known for known in _BYTES}
        known = by_lower_case.get(unit.lower(), "")
        raise refuse_value("has an unknown unit", allowed=SIZES, suggestion=known and amount + known)
    size = Decimal(amount) * _BYTES[unit]
    if size != int(size):
        raise refuse_value("is not a whole number of bytes", allowed=SIZES)
    return int(size)


def check_glob(pattern: str) -> str:
    """Return the pattern if it can match a key below a prefix.

    ``*`` and ``?`` stay within one segment, ``**`` goes across them, ``[..]`` is one character of
    a set (and the way to write a literal ``*``, ``?``, ``[`` or ``{``).
    """
    if not pattern:
        raise refuse_value("is empty", allowed=GLOBS)
    if pattern.startswith(("/", "./")):
        below = pattern.removeprefix(".").lstrip("/")
        raise refuse_value("does not start below the source", allowed=GLOBS, suggestion=below)
    if pattern.endswith("/"):
        raise refuse_value("names a folder and would match no video", allowed=GLOBS, suggestion=f"{pattern}**")
    bare = _SET.sub("", pattern)
    if "[" in bare:
        raise refuse_value("has a '[' that is not closed; a literal one is written [[]", allowed=GLOBS)
    if "{" in bare:
        raise refuse_value("has braces, which are no alternatives here: write one pattern for each", allowed=GLOBS)
    for members in _SET.findall(pattern):
        if any(first > last for first, last in re.findall(r"(.)-(.)", members)):
            raise refuse_value("has a range that runs backwards", allowed=GLOBS)
    return pattern
