"""Judges a line of NDJSON as the service does, and more strictly where it is known to be lenient.

Words and names of errors are those that real imports were answered with.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

Errors = list[tuple[str, str]]

_GEOMETRY = {"rectangle": "bbox", "point": "point", "line": "line"}


class Judge:
    """Judges the lines of one import.

    Args:
        ontology: The normalized ontology of the model run or project.
        rows: Global key -> data row with ``id``, ``processed``, ``frames``, ``width``, ``height``.
        members: Ids of the data rows that are in the run or project.
    """

    def __init__(self, ontology: dict[str, Any], rows: dict[str, dict[str, Any]], members: Iterable[str]) -> None:
        self._features = [*ontology["tools"], *ontology["classifications"]]
        self._rows = rows
        self._members = set(members)
        self._uuids: set[str] = set()

    def judge(self, line: Any) -> tuple[dict[str, Any] | None, Errors]:
        """The line's data row, if it has one, and what is wrong with the line."""
        if not isinstance(line, dict):
            return None, [("ValidationError", "{'_schema': ['Invalid input type.']}")]
        row, errors = self._row(line.get("dataRow"))
        errors += self._uuid(line)
        if row is None or errors:
            return row, errors
        feature = _named(self._features, line.get("name"))
        if feature is None:
            return row, [("ValidationError", f"Ontology does not contain name: {line.get('name')}")]
        kind = feature.get("tool") or feature.get("type")
        if kind in _GEOMETRY:
            return row, _unknown(line, {"uuid", "name", "dataRow", "segments", "confidence"}) or _object(
                line, feature, row
            )
        return row, _unknown(line, {"uuid", "name", "dataRow", "answer", "frames", "confidence"}) or _classification(
            line, feature, row, nested=False
        )

    def _row(self, named: Any) -> tuple[dict[str, Any] | None, Errors]:
        if not isinstance(named, dict) or set(named) not in ({"globalKey"}, {"id"}):
            return None, [("ValidationError", "{'dataRow': ['Exactly one of id or globalKey is needed.']}")]
        key = str(named.get("globalKey") or named.get("id"))
        row = self._rows.get(key.lower()) or next((r for r in self._rows.values() if r["id"] == key), None)
        if row is None or row["id"] not in self._members:
            return None, [("DataRowNotFound", f"dataRow.id {key} invalid")]
        if not row["processed"]():
            return row, [("DataRowNotProcessed", f"dataRow {key} has not been processed")]
        return row, []

    def _uuid(self, line: dict[str, Any]) -> Errors:
        name = line.get("uuid")
        if name is None:
            line["uuid"] = str(uuid.uuid4())
            return []
        try:
            uuid.UUID(name)
        except (ValueError, AttributeError, TypeError):
            return [("ValidationError", "{'uuid': ['Not a valid UUID.']}")]
        if name in self._uuids:
            return [("ValidationError", f"uuid {name} already used in this import job, must be unique for the project")]
        self._uuids.add(name)
        return []


def _named(features: Iterable[dict[str, Any]], name: Any) -> dict[str, Any] | None:
    return next((feature for feature in features if feature["name"] == name), None)


def _unknown(value: dict[str, Any], known: set[str]) -> Errors:
    return [("ValidationError", f"{{'{key}': ['Unknown field.']}}") for key in sorted(set(value) - known)]


def _object(line: dict[str, Any], feature: dict[str, Any], row: dict[str, Any]) -> Errors:
    segments, errors, last = line.get("segments"), Errors(), 0
    if not isinstance(segments, list) or not segments:
        return [("ValidationError", "{'segments': ['Missing data for required field.']}")]
    for segment in segments:
        if not isinstance(segment, dict) or set(segment) != {"keyframes"} or not segment["keyframes"]:
            return [*errors, ("ValidationError", "{'segments': ['A segment is a list of keyframes.']}")]
        for keyframe in segment["keyframes"]:
            frame = keyframe.get("frame") if isinstance(keyframe, dict) else None
            if type(frame) is not int or not last < frame <= row["frames"]:
                return [*errors, ("ValidationError", f"frame {frame} is not between {last + 1} and {row['frames']}")]
            last = frame
            errors += _keyframe(keyframe, feature, row)
    return errors


def _keyframe(keyframe: dict[str, Any], feature: dict[str, Any], row: dict[str, Any]) -> Errors:
    geometry = _GEOMETRY[feature["tool"]]
    errors = _unknown(keyframe, {"frame", geometry, "classifications"})
    if geometry not in keyframe:
        return [*errors, ("ValidationError", f"{{'{geometry}': ['Missing data for required field.']}}")]
    shape = keyframe[geometry]
    if geometry == "bbox":
        errors += _box(shape, row)
    elif geometry == "point":
        errors += _point(shape, row)
    elif not isinstance(shape, list) or len(shape) < 2:
        errors.append(("GeometryInvalid", f"Invalid geometry: {shape}"))
    else:
        for point in shape:
            errors += _point(point, row)
    for inner in keyframe.get("classifications", ()):
        question = _named(feature.get("classifications") or (), inner.get("name"))
        if question is None:
            errors.append(("ValidationError", f"Ontology does not contain name: {inner.get('name')}"))
        elif question.get("scope", "index") != "index":
            errors.append(("ValidationError", f"{inner['name']} is not a frame classification"))
        else:
            errors += _unknown(inner, {"name", "answer"}) or _classification(inner, question, row, nested=True)
    return errors


def _box(box: Any, row: dict[str, Any]) -> Errors:
    sides = ("top", "left", "height", "width")
    if not isinstance(box, dict) or set(box) != set(sides) or not all(_number(box[side]) for side in sides):
        return [("ValidationError", f"{{'bbox': ['Needs top, left, height and width: {box}']}}")]
    inside = (
        min(box["top"], box["left"]) >= 0
        and box["left"] + box["width"] <= row["width"] + 0.05
        and box["top"] + box["height"] <= row["height"] + 0.05
    )
    if min(box["height"], box["width"]) <= 0 or not inside:
        return [("GeometryInvalid", f"Invalid geometry: {box}")]
    return []


def _point(point: Any, row: dict[str, Any]) -> Errors:
    if not isinstance(point, dict) or set(point) != {"x", "y"} or not all(_number(v) for v in point.values()):
        return [("ValidationError", f"{{'point': ['Needs x and y: {point}']}}")]
    if not (0 <= point["x"] <= row["width"] and 0 <= point["y"] <= row["height"]):
        return [("GeometryInvalid", f"Invalid geometry: {point}")]
    return []


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _classification(line: dict[str, Any], feature: dict[str, Any], row: dict[str, Any], *, nested: bool) -> Errors:
    kind, answer = feature.get("type"), line.get("answer")
    by_frames = not nested and feature.get("scope") == "index"
    errors = _confidence(line)
    if kind == "text":
        return errors + _text(answer, row, by_frames=by_frames)
    answers = answer if isinstance(answer, list) else [answer]
    # A nested checklist with one answer may be written as that answer.
    wrong = isinstance(answer, list) != (kind == "checklist") and not (nested and isinstance(answer, dict))
    if wrong or not answers:
        return [*errors, ("ValidationError", f"{{'answer': ['Not the answer of a {kind}.']}}")]
    shared = line.get("frames")
    scored = [isinstance(one, dict) and "confidence" in one for one in answers]
    if "confidence" in line and not all(scored):
        words = "Confidence score is specified for the node, however child nodes don't have confidence score"
        errors.append(("ValidationError", f"{{'_schema': [\"{words}\"]}}"))
    for one in answers:
        errors += _answer(one, feature, row, by_frames=by_frames, shared=shared)
    return errors


def _answer(one: Any, feature: dict[str, Any], row: dict[str, Any], *, by_frames: bool, shared: Any) -> Errors:
    if not isinstance(one, dict):
        return [("ValidationError", f"{{'answer': ['Not an answer: {one}']}}")]
    errors = _unknown(one, {"name", "confidence", "frames", "classifications"}) + _confidence(one)
    option = next((option for option in feature.get("options", ()) if option["value"] == one.get("name")), None)
    if option is None:
        return [*errors, ("ValidationError", f"Ontology does not contain name: {one.get('name')}")]
    frames = one.get("frames", shared)
    if (frames is not None) != by_frames:
        words = "needs frames" if by_frames else "takes no frames"
        errors.append(("ValidationError", f"{feature['name']} {words}"))
    elif by_frames:
        errors += _ranges(frames, row)
    for inner in one.get("classifications", ()):
        question = _named(option.get("options") or (), inner.get("name"))
        if question is None:
            errors.append(("ValidationError", f"Ontology does not contain name: {inner.get('name')}"))
        else:
            errors += _unknown(inner, {"name", "answer", "confidence"}) or _classification(
                inner, question, row, nested=True
            )
    return errors


def _text(answer: Any, row: dict[str, Any], *, by_frames: bool) -> Errors:
    if not by_frames:
        return [] if isinstance(answer, str) and answer else [("ValidationError", "{'answer': ['Not a text.']}")]
    errors = Errors()
    parts: list[Any] = answer if isinstance(answer, list) and answer else [None]
    for one in parts:
        if not isinstance(one, dict) or set(one) != {"value", "frames"} or not isinstance(one["value"], str):
            return [("ValidationError", "{'answer': ['Not a text for frames.']}")]
        errors += _ranges(one["frames"], row)
    return errors


def _ranges(ranges: Any, row: dict[str, Any]) -> Errors:
    last = 0
    parts: list[Any] = ranges if isinstance(ranges, list) and ranges else [None]
    for one in parts:
        sound = isinstance(one, dict) and set(one) == {"start", "end"} and all(type(v) is int for v in one.values())
        if not sound or not last < one["start"] <= one["end"] <= row["frames"]:
            return [("ValidationError", f"frames {one} are not after {last} and up to {row['frames']}")]
        last = one["end"]
    return []


def _confidence(value: dict[str, Any]) -> Errors:
    score = value.get("confidence", 1)
    if not _number(score) or not 0 <= score <= 1:
        return [("ValidationError", "{'confidence': ['Must be between 0 and 1.']}")]
    return []
