"""Compares what annotations need with an ontology, and says what to add. No I/O.

Labelbox spells an ontology as JSON ("normalized"): tools with classifications, classifications
with options, options with classifications again (under ``options``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.domain.errors import OntologyMismatch
from tasks.domain.video import printable
from tasks.sinks.labelbox.features import Feature
from tasks.sinks.labelbox.ontology_file import spelled, spelled_option

_KINDS = {
    "rectangle": "box",
    "point": "point",
    "line": "polyline",
    "radio": "radio",
    "checklist": "checklist",
    "text": "free text",
}


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
    there: Sequence[dict[str, Any]], feature: Feature, within: str, problems: list[str], *, below_answer: bool = False
) -> dict[str, Any] | None:
    """What is to be put for a feature among others; None if it is there, whole or not to be helped."""
    same = [one for one in there if one.get("name") == feature.name]
    found = _fitting(there, feature)
    if not same:
        alike = next((one["name"] for one in there if _alike(one.get("name"), feature.name)), None)
        if alike is None:
            return spelled(feature, below_answer=below_answer)
        problems.append(f"it has {_named(alike)}{within}, which differs from {_named(feature.name)} by case alone")
        return None
    if found is None:
        kinds = f"is {_article(_kind(same[0]))} there, not {_article(feature.kind.value)}"
        problems.append(f"{_named(feature.name)}{within} {kinds}")
        return None
    inside = f"{within} of {_named(feature.name)}"
    if feature.kind.is_tool:
        return _with_questions(found, "classifications", feature.classifications, inside, problems)
    scope = found.get("scope")
    # A question below an answer has its frames from there.
    if scope is not None and not below_answer and (scope == "index") != feature.by_frames:
        asked = "for frames" if scope == "index" else "once per video"
        predicted = "for frames" if feature.by_frames else "for the whole video"
        problems.append(
            f"{_named(feature.name)}{within} is answered {asked} there, and the predictions are {predicted}"
        )
        return None
    return _with_answers(found, feature, inside, problems)


def _with_answers(found: dict[str, Any], feature: Feature, inside: str, problems: list[str]) -> dict[str, Any] | None:
    """The question with the answers added that it lacks, or None if it lacks none."""
    options, changed = list(found.get("options") or ()), False
    for option in feature.options:
        position = next((i for i, one in enumerate(options) if one.get("value") == option.name), None)
        if position is None:
            options.append(spelled_option(option))
            changed = True
            continue
        within = f" of answer {_named(option.name)}{inside}"
        more = _with_questions(options[position], "options", option.classifications, within, problems)
        if more is not None:
            options[position], changed = more, True
    return {**found, "options": options} if changed else None


def _with_questions(
    found: dict[str, Any], key: str, questions: Sequence[Feature], within: str, problems: list[str]
) -> dict[str, Any] | None:
    """The tool or answer with the questions added that it lacks, or None if it lacks none."""
    there, changed = list(found.get(key) or ()), False
    for question in questions:
        change = _addition(there, question, within, problems, below_answer=key == "options")
        if change is None:
            continue
        known = _fitting(there, question)
        position = len(there) if known is None else there.index(known)
        there[position : position + 1] = [change]
        changed = True
    return {**found, key: there} if changed else None


def _fitting(there: Sequence[dict[str, Any]], feature: Feature) -> dict[str, Any] | None:
    """The feature of that name and kind, if there is one."""
    same = (one for one in there if one.get("name") == feature.name and _kind(one) == feature.kind.value)
    return next(same, None)


def _kind(found: dict[str, Any]) -> str:
    return str(found.get("tool") or found.get("type"))


def _alike(one: object, other: str) -> bool:
    return isinstance(one, str) and one.casefold() == other.casefold()


def _article(kind: str) -> str:
    return f"a {_KINDS.get(kind, kind)}"


def _named(name: str) -> str:
    return repr(printable(name))
