"""When a pipeline runs by itself, as its file says it."""

from __future__ import annotations

import re
import zoneinfo
from typing import Annotated

from pydantic import Field, field_validator

from config.fields import Allowed, Section
from config.problems import nearest, refuse_value

CRON = "five fields as in crontab: minute, hour, day, month, day of the week, such as 0 2 * * *"

# Lowest and highest number of each field, and the names that stand for numbers.
_FIELDS: tuple[tuple[int, int, str], ...] = (
    (0, 59, ""),
    (0, 23, ""),
    (1, 31, ""),
    (1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    (0, 7, "sun mon tue wed thu fri sat"),
)
_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[1-9][0-9]*))?")


class Schedule(Section):
    """When a pipeline runs by itself, once `reelroute deploy` has registered it."""

    cron: Annotated[str, Field(description="When it runs."), Allowed(CRON)]
    timezone: Annotated[
        str,
        Field(description="Whose clock counts, summer time included."),
        Allowed("a name of the time zone database, such as UTC or Europe/Zurich"),
    ] = "UTC"
    wait: Annotated[
        bool,
        Field(description="Wait for results. With false the run submits and leaves, and `collect` finishes."),
        Allowed("true or false"),
    ] = True

    @field_validator("cron")
    @classmethod
    def _cron_can_come(cls, cron: str) -> str:
        fields = cron.split()
        if len(fields) != len(_FIELDS) or not all(
            _is_field(text, *limits) for text, limits in zip(fields, _FIELDS, strict=True)
        ):
            raise refuse_value("is not a cron schedule")
        return " ".join(fields)

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        known = zoneinfo.available_timezones()
        if name not in known:
            raise refuse_value("is not a time zone", suggestion=_zone_meant(name, known))
        return name


def _is_field(text: str, low: int, high: int, names: str) -> bool:
    return all(_is_part(part, low, high, names.split()) for part in text.split(","))


def _is_part(text: str, low: int, high: int, names: list[str]) -> bool:
    found = _PART.fullmatch(text)
    if found is None:
        return False
    if found["first"] is None:
        return True
    if found["step"] and found["last"] is None:
        return False  # crontab does not say what 5/10 means
    ends = [_number(end, low, names) for end in (found["first"], found["last"] or found["first"])]
    return None not in ends and low <= (ends[0] or 0) <= (ends[1] or 0) <= high


def _number(text: str, low: int, names: list[str]) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text)
    return names.index(text.lower()) + low if text.lower() in names else None


def _zone_meant(name: str, known: set[str]) -> str:
    by_lower_case = {zone.lower(): zone for zone in known}
    return by_lower_case.get(nearest(name, by_lower_case), "")
