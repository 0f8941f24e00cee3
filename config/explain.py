"""From what pydantic says of a pipeline to problems with a line, a field and what is allowed."""

from __future__ import annotations

import contextlib
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from config.budget import Budget
from config.conflicts import conflicts
from config.document import Document, KeyPath, Mark
from config.fields import Section, allowed_in
from config.inference import Inference
from config.pipeline import Pipeline
from config.problems import explain_value, nearest, quoted
from config.routes import ROUTES, Route
from config.schedule import Schedule
from config.selection import SelectionRun
from config.sources import Source

_SECTIONS: dict[object, type[BaseModel]] = {"inference": Inference, "budget": Budget, "schedule": Schedule}
_NO_KEYS = frozenset({"[key]", "[name]", "[tools]"})
Part = TypeVar("Part")
_ROUTE: TypeAdapter[Route] = TypeAdapter(Route)
_SOURCE: TypeAdapter[Source] = TypeAdapter(Source)


def explain(error: ValidationError, document: Document) -> None:
    """Add a problem to the document for every mistake that ``error`` tells of, and for conflicts.

    Values that could not be read in the first place have their problem already and get no other.
    """
    for detail in error.errors(include_url=False):
        path, section, field = _locate(detail["loc"])
        follows_from_another = detail["type"] == "default_factory_not_called" or detail["loc"] == ()
        if not follows_from_another and not _is_unsound(document, path):
            _explain_one(document, detail, path, section, field)
    # Pydantic looks at the whole only when every part is right; people want to hear it all at once.
    sources = _sound_parts(document, "sources", _SOURCE)
    routes = _sound_parts(document, "routes", _ROUTE)
    for conflict in conflicts(sources, routes, _sound_inference(document)):
        document.report(conflict.path, document.place(conflict.path), conflict.message, conflict.allowed)


def _explain_one(document: Document, detail: ErrorDetails, path: KeyPath, section: type[BaseModel], field: str) -> None:
    match detail["type"]:
        case "extra_forbidden":
            known = sorted(section.model_fields)
            message = f"unknown key {quoted(field)}"
            document.report(path, document.keys[path], message, ", ".join(known), nearest(field, known))
        case "missing":
            allowed = allowed_in(section, field)
            document.report(path, _without_value(document.place(path)), f"'{field}' is missing", allowed)
        case "union_tag_not_found":
            where = _without_value(document.place(path))
            document.report((*path, "to"), where, "'to' is missing", ", ".join(ROUTES))
        case "union_tag_invalid":
            path = (*path, "to")
            mark = document.place(path)
            meant = nearest(mark.raw, ROUTES)
            document.report(path, mark, f"{mark.shown} is not a kind of route", ", ".join(ROUTES), meant)
        case _:
            mark = document.place(path)
            message, allowed, suggestion = explain_value(detail, mark.shown)
            hidden = detail.get("ctx", {}).get("hide", False)
            at = _without_value(mark) if hidden or path not in document.values else mark
            document.report(path, at, message, allowed or allowed_in(section, field), suggestion)


def _locate(loc: tuple[int | str, ...]) -> tuple[KeyPath, type[BaseModel], str]:
    """Return the path in the file, the section that it is in, and its key there.

    Pydantic puts the kind of a route between its position and its key, ``routes, 0, video, uri``,
    ``[key]`` after a key that is itself wrong, and the form of a value that has several.
    """
    loc = tuple(part for part in loc if part not in _NO_KEYS)
    match loc:
        case ("sources", int(i), key, *rest):
            return ("sources", i, key, *rest), Source, str(key)
        case ("routes", int(i), "lightly", "selection_run", key, *rest):
            return ("routes", i, "selection_run", key, *rest), SelectionRun, str(key)
        case ("routes", int(i), str(kind), key, *rest) if kind in ROUTES:
            return ("routes", i, key, *rest), *_innermost(ROUTES[kind], (key, *rest))
        case ("inference" | "budget" | "schedule" as section, key, *rest):
            return (section, key, *rest), _SECTIONS[section], str(key)
        case _:
            return loc, Pipeline, str(loc[0]) if loc else ""


def _innermost(section: type[Section], keys: tuple[int | str, ...]) -> tuple[type[Section], str]:
    """Follow keys into the sections that a section holds; return the last one, and the key in it."""
    while len(keys) > 2 and str(keys[0]) in section.parts:
        section, keys = section.parts[str(keys[0])], keys[2:]
    return section, str(keys[0])


def _is_unsound(document: Document, path: KeyPath) -> bool:
    return any(path[:length] in document.unsound for length in range(1, len(path) + 1))


def _without_value(mark: Mark) -> Mark:
    return Mark(mark.line, mark.column)


def _sound_parts(document: Document, key: str, adapter: TypeAdapter[Part]) -> dict[int, Part]:
    """The items of one of the file's lists that are right by themselves, by position."""
    items = document.data.get(key) if isinstance(document.data, dict) else None
    unread = {path[:2] for path in document.unsound}
    sound: dict[int, Part] = {}
    for i, item in enumerate(items if isinstance(items, list) else []):
        if (key, i) in unread:
            continue
        with contextlib.suppress(ValidationError):
            sound[i] = adapter.validate_python(item)
    return sound


def _sound_inference(document: Document) -> Inference | None:
    """The inference section, if it is right by itself."""
    if not isinstance(document.data, dict) or any(path[:1] == ("inference",) for path in document.unsound):
        return None
    with contextlib.suppress(ValidationError):
        return Inference.model_validate(document.data.get("inference"))
    return None
