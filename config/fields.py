"""What the models of a pipeline file are built from: a strict base and the kinds of field.

Every field says in an :class:`Allowed` what may be written there. Messages and the table in this
folder's README quote it, so that both always say the same.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from config.locations import check_template, read_folder, read_route_location, read_source_location
from config.problems import refuse_value
from config.units import DURATIONS, check_glob, read_duration, read_size


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be written in a field, in a few words."""

    text: str


class Section(BaseModel):
    """A group of keys: unknown ones are refused, values do not change once read."""

    # Keys that hold sections by names or in lists -> what kind of section.
    parts: ClassVar[dict[str, type[Section]]] = {}

    # Values can come from environment variables, so pydantic's own messages must not show them.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


THRESHOLD = "a number from 0 to 1"
Item = TypeVar("Item", bound=Hashable)


def _no_bool(value: object) -> object:
    # YAML reads `yes` and `on` as true, which Python would then take for the number 1.
    if isinstance(value, bool):
        raise refuse_value("is not a number")
    return value


def _longer_than_zero(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise refuse_value("is too short", allowed=f"{DURATIONS}, longer than nothing")
    return value


def like(pattern: str, phrase: str, *, hide: bool = False) -> AfterValidator:
    """Accept only text that matches the whole pattern.

    Args:
        pattern: A regular expression.
        phrase: What to say of other text, continuing after the value.
        hide: Other text may be a secret that was put here by mistake.
    """

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise refuse_value(phrase, hide=hide)
        return text

    return AfterValidator(check)


def not_empty(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return the items if there is any.

    A minimum length of pydantic's would also complain of lists whose items are all refused.
    """
    if not items:
        raise refuse_value("is empty")
    return items


def no_repeats(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return the items if each is there once."""
    if len(set(items)) < len(items):
        raise refuse_value("names something twice")
    return items


Number = Annotated[float, BeforeValidator(_no_bool)]
Whole = Annotated[int, BeforeValidator(_no_bool)]
Positive = Annotated[Number, Field(gt=0)]
Count = Annotated[Whole, Field(ge=1)]
Threshold = Annotated[Number, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1)]
Duration = Annotated[timedelta, BeforeValidator(read_duration)]
PositiveDuration = Annotated[Duration, AfterValidator(_longer_than_zero)]
Size = Annotated[int, BeforeValidator(read_size)]
Glob = Annotated[str, AfterValidator(check_glob)]
Folder = Annotated[str, AfterValidator(read_folder)]
SourceLocation = Annotated[str, AfterValidator(read_source_location)]
RouteLocation = Annotated[str, AfterValidator(read_route_location)]
Template = Annotated[Name, AfterValidator(check_template)]


def allowed_in(section: type[BaseModel], field: str) -> str:
    """Return the words of a field's :class:`Allowed`, or "" if the section has no such field."""
    info = section.model_fields.get(field)
    notes: list[Any] = info.metadata if info else []
    return next((note.text for note in notes if isinstance(note, Allowed)), "")
