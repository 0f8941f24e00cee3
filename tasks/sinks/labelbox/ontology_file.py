"""Features as Labelbox writes an ontology down ("normalized"), and the file that holds one. No I/O.

    {"tools": [{"tool": "rectangle", "name": "player", "required": false, "color": "#f21818",
                "classifications": [...]}],
     "classifications": [{"type": "radio", "name": "weather", "instructions": "weather", "scope": "index",
                          "required": false, "options": [{"label": "sunny", "value": "sunny", "options": []}]}]}

Source: ``OntologyBuilder.asdict`` of Labelbox' SDK, whose ``from_dict`` reads it back.
"""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tasks.domain.errors import DeliveryFailed
from tasks.sinks.labelbox.features import Feature, Option

ONTOLOGY = "ontology.json"

Document = dict[str, Any]


class _Question(msgspec.Struct):
    name: str
    options: list[_Option] = []


class _Option(msgspec.Struct):
    value: str
    options: list[_Question] = []


class _Tool(msgspec.Struct):
    name: str
    classifications: list[_Question] = []


class _Ontology(msgspec.Struct):
    """What a document must be to be completed; it may say more."""

    tools: list[_Tool] = []
    classifications: list[_Question] = []


def normalized(features: Sequence[Feature]) -> Document:
    """Write features down as an ontology of their own."""
    return _with({"tools": [], "classifications": []}, features)


def completed(document: bytes | None, features: Sequence[Feature]) -> bytes | None:
    """Add features to an ontology's JSON; None where it has them all already.

    What is there stays as it is, in its order, with whatever else it says (colours, ids); what is
    there as another kind of feature is replaced.

    Raises:
        DeliveryFailed: The document is no ontology.
    """
    if document is None:
        known: Document = {}
    else:
        try:
            msgspec.json.decode(document, type=_Ontology)
            known = msgspec.json.decode(document)
        except msgspec.MsgspecError:
            raise DeliveryFailed(
                f"{ONTOLOGY} is there and is no ontology",
                hint="move it away; the next delivery writes it again",
            ) from None
    changed = _with(known, features)
    return None if changed == known else msgspec.json.format(msgspec.json.encode(changed), indent=2) + b"\n"


def _with(document: Document, features: Sequence[Feature]) -> Document:
    tools = [feature for feature in features if feature.kind.is_tool]
    questions = [feature for feature in features if not feature.kind.is_tool]
    return {
        **document,
        "tools": _joined(document.get("tools", []), "name", [(f.name, f) for f in tools], _tool),
        "classifications": _joined(
            document.get("classifications", []), "name", [(f.name, f) for f in questions], _question
        ),
    }


def _joined(known: Iterable[Document], key: str, wanted: Iterable[tuple[str, Any]], spell: Any) -> list[Document]:
    """Let ``spell`` complete each entry that is wanted; others stay."""
    entries = {str(entry[key]): entry for entry in known}
    for name, feature in wanted:
        entries[name] = spell(entries.get(name, {}), feature)
    return list(entries.values())


def _tool(known: Document, feature: Feature) -> Document:
    if known.get("tool") != feature.kind.value:
        known = {"tool": feature.kind.value, "name": feature.name, "required": False, "color": _colour(feature.name)}
    below = _joined(known.get("classifications", []), "name", [(f.name, f) for f in feature.classifications], _question)
    return {**known, "classifications": below}


def _colour(name: str) -> str:
    """A bright colour, the same for a name wherever it appears."""
    hue = zlib.crc32(name.encode("utf-8", "surrogatepass")) / 2**32
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hsv_to_rgb(hue, 0.9, 0.95))


def _question(known: Document, feature: Feature, *, asked_alone: bool = True) -> Document:
    if known.get("type") != feature.kind.value:
        known = {"type": feature.kind.value, "name": feature.name, "instructions": feature.name, "required": False}
    options = _joined(known.get("options", []), "value", [(o.name, o) for o in feature.options], _option)
    scope = {"scope": "index" if feature.by_frames else "global"}
    return {**known, **scope, "options": options} if asked_alone else {**known, "options": options}


def _option(known: Document, option: Option) -> Document:
    below = _joined(known.get("options", []), "name", [(f.name, f) for f in option.classifications], _below)
    return {"label": option.name, "value": option.name, **known, "options": below}


def spelled(feature: Feature, *, below_answer: bool = False) -> Document:
    """Write one feature down.

    Args:
        below_answer: It is a question that is asked where an answer is given.
    """
    if feature.kind.is_tool:
        return _tool({}, feature)
    return _below({}, feature) if below_answer else _question({}, feature)


def spelled_option(option: Option) -> Document:
    """Write one answer down, with the questions below it."""
    return _option({}, option)


def _below(known: Document, feature: Feature) -> Document:
    """A question below an answer, which has its frames from there."""
    return _question(known, feature, asked_alone=False)
