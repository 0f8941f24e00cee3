"""The README's tables say what the models say."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import config
from config.budget import Budget
from config.event_settings import EventSettings
from config.fields import Section, allowed_in
from config.pipeline import Inference, Pipeline, Schedule, Source
from config.routes import ROUTES
from config.selection import SelectionRun
from config.settings import Settings

README = Path(config.__file__).with_name("README.md").read_text(encoding="utf-8")


def parts_of(prefix: str, section: type[Section]) -> dict[str, type[BaseModel]]:
    """A section and those that it holds, by what stands before their keys."""
    found: dict[str, type[BaseModel]] = {prefix: section}
    for key, part in section.parts.items():
        # One that stands in two places is explained once.
        found |= {name: one for name, one in parts_of(f"{prefix}{key}[].", part).items() if one not in found.values()}
    return found


SECTIONS: dict[str, type[BaseModel]] = {
    "": Pipeline,
    "sources[].": Source,
    "inference.": Inference,
    "budget.": Budget,
    "schedule.": Schedule,
    **{f"routes[{kind}].": route for kind, route in ROUTES.items()},
    "routes[lightly].selection_run.": SelectionRun,
    **{prefix: part for kind, route in ROUTES.items() for prefix, part in parts_of(f"routes[{kind}].", route).items()},
}


def written(value: object) -> str:
    """A default as one would write it in a file."""
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        unit, size = next((u, s) for u, s in (("h", 3600), ("m", 60), ("s", 1)) if seconds % s == 0)
        return f"`{seconds // size}{unit}`"
    if isinstance(value, BaseModel) or value in (None, (), ""):
        return "–"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def row(key: str, section: type[BaseModel], name: str, info: FieldInfo) -> str:
    """The line that a README has to have for a field."""
    default = "required" if info.is_required() else "–" if info.default_factory else written(info.default)
    cells = (f"`{key}`", default, allowed_in(section, name), info.description or "")
    return "| " + " | ".join(cell.replace("*", r"\*") for cell in cells) + " |"


def rows() -> dict[str, str]:
    """Key -> line, for every field of every model and every setting."""
    lines = {
        f"{prefix}{name}": row(f"{prefix}{name}", section, name, info)
        for prefix, section in SECTIONS.items()
        for name, info in section.model_fields.items()
    }
    for settings in (Settings, EventSettings):
        for name, info in settings.model_fields.items():
            lines[str(info.validation_alias)] = row(str(info.validation_alias), settings, name, info)
    return lines


@pytest.mark.parametrize("key", rows())
def test_every_field_has_its_row(key: str) -> None:
    """Default, allowed values and meaning of every key stand in the README as the models have them."""
    assert rows()[key] in README.splitlines()


def test_no_row_is_left_of_a_field_that_is_gone() -> None:
    """The README has no key that the models do not know."""
    reference = README.partition("## A pipeline file")[2]
    documented = re.findall(r"^\| `([^`]+)` \|", reference, re.MULTILINE)
    assert sorted(rows()) == sorted(documented)


@pytest.mark.parametrize("key", rows())
def test_every_field_says_what_is_allowed_and_what_it_means(key: str) -> None:
    """No cell is empty."""
    assert all(cell.strip() for cell in rows()[key].strip("|").split("|"))
