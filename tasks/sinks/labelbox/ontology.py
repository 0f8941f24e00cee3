"""Compares what annotations need with an ontology, and says what to add. No I/O.

Labelbox spells an ontology as JSON ("normalized"): tools with classifications, classifications
with options, options with classifications again (under ``options``).
"""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from tasks.domain.errors import OntologyMismatch
from tasks.domain.video import printable
from tasks.sinks.labelbox.features import Feature, Option

_KINDS = {
    "rectangle": "box",
    "point": "point",
    "line": "polyline",
    "radio": "radio",
    "checklist": "checklist",
    "text": "free text",
}


def normalized(features: Iterable[Feature]) -> dict[str, Any]:
    """Spell an ontology that has exactly these features."""
    tools: list[dict[str, Any]] = []
    classifications: list[dict[str, Any]] = []
    for feature in features:
        (tools if feature.kind.is_tool else classifications).append(spelled(feature))
    return {"tools": tools, "classifications": classifications}


def spelled(feature: Feature) -> dict[str, Any]:
    """Spell one feature. Its classifications keep their scope, which the SDK's builder drops."""
    new = {"schemaNodeId": None, "featureSchemaId": None, "required": False, "name": feature.name}
    if feature.kind.is_tool:
        inner = [spelled(one) for one in feature.classifications]
        return {**new, "tool": feature.kind.value, "color": _color(feature.name), "classifications": inner}
    scope = "index" if feature.by_frames else "global"
    options = [_option(option, position) for position, option in enumerate(feature.options)]
    return {**new, "type": feature.kind.value, "instructions": feature.name, "scope": scope, "options": options}


def _option(option: Option, position: int) -> dict[str, Any]:
    return {
        "schemaNodeId": None,
        "featureSchemaId": None,
        "label": option.name,
        "value": option.name,
        "position": position,
        "options": [spelled(one) for one in option.classifications],
    }


def _color(name: str) -> str:
    """The same bright colour for a name wherever it appears."""
    hue = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:2], "big") / 65536
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hsv_to_rgb(hue, 0.9, 0.95))


def additions(ontology: dict[str, Any], features: Sequence[Feature], name: str) -> list[dict[str, Any]]:
    """Compare an ontology with what is needed, feature by feature; nothing is changed.

    Args:
        ontology: Labelbox' JSON.
        name: The ontology's, for messages.

    Returns:
        What to put: features that it lacks, and whole features with what they lack added.

    Raises:
        OntologyMismatch: It has something of that name that does not take these annotations;
            the message names every such feature.
    """
    problems: list[str] = []
    there = [*ontology.get("tools", ()), *ontology.get("classifications", ())]
    changes = [change for feature in features if (change := _addition(there, feature, "", problems)) is not None]
    if problems:
        raise OntologyMismatch(
            f"ontology {_named(name)} does not fit: {'; '.join(problems)}",
            hint="rename the feature in Labelbox, give the class another name in the route's `classes`, "
            "or name another ontology",
        )
    return changes


def _addition(
    there: Sequence[dict[str, Any]], feature: Feature, within: str, problems: list[str]
) -> dict[str, Any] | None:
    """What is to be put for a feature among others; None if it is there, whole or not to be helped."""
    same = [one for one in there if one.get("name") == feature.name]
    fitting = [one for one in same if _kind(one) == feature.kind.value]
    if not same:
        alike = next((one["name"] for one in there if _alike(one.get("name"), feature.name)), None)
        if alike is None:
            return spelled(feature)
        problems.append(f"it has {_named(alike)}{within}, which differs from {_named(feature.name)} by case alone")
        return None
    if not fitting:
        problems.append(
            f"{_named(feature.name)}{within} is {_article(_kind(same[0]))} there, not {_described(feature)}"
        )
        return None
    return _completed(fitting[0], feature, within, problems)


def _completed(found: dict[str, Any], feature: Feature, within: str, problems: list[str]) -> dict[str, Any] | None:
    """The feature with what it lacks added, or None if it lacks nothing."""
    inside = f"{within} of {_named(feature.name)}"
    if feature.kind.is_tool:
        return _with_questions(found, "classifications", feature.classifications, inside, problems)
    scope = found.get("scope")  # the SDK's builder leaves it out of nested ones
    if scope is not None and (scope == "index") != feature.by_frames:
        problems.append(
            f"{_named(feature.name)}{within} is answered {'for frames' if scope == 'index' else 'once per video'} "
            f"there, and the predictions are {'for frames' if feature.by_frames else 'for the whole video'}"
        )
        return None
    options, changed = list(found.get("options") or ()), False
    for option in feature.options:
        position = next((i for i, one in enumerate(options) if one.get("value") == option.name), None)
        if position is None:
            options.append(_option(option, len(options)))
            changed = True
            continue
        within_option = f" of answer {_named(option.name)}{inside}"
        more = _with_questions(options[position], "options", option.classifications, within_option, problems)
        if more is not None:
            options[position], changed = more, True
    return {**found, "options": options} if changed else None


def _with_questions(
    found: dict[str, Any], key: str, questions: Sequence[Feature], within: str, problems: list[str]
) -> dict[str, Any] | None:
    there, changed = list(found.get(key) or ()), False
    for question in questions:
        change = _addition(there, question, within, problems)
        if change is None:
            continue
        position = next((i for i, one in enumerate(there) if one.get("name") == question.name), len(there))
        there[position : position + 1] = [change]
        changed = True
    return {**found, key: there} if changed else None


def _kind(found: dict[str, Any]) -> str:
    return str(found.get("tool") or found.get("type"))


def _alike(one: object, other: str) -> bool:
    return isinstance(one, str) and one.casefold() == other.casefold()


def _described(feature: Feature) -> str:
    return _article(feature.kind.value)


def _article(kind: str) -> str:
    return f"a {_KINDS.get(kind, kind)}"


def _named(name: str) -> str:
    return repr(printable(name))
