"""Labelbox' own models of NDJSON lines read ours, as the kinds that they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tasks.sinks.labelbox.ndjson import annotate
from tasks.sinks.labelbox.style import Detail, Kind, ModelStyle, Style
from tests.unit.tasks.sinks.labelbox.sightings import gaze, looking, results, skeleton, thing
from tests.unit.tasks.sinks.labelbox.strict_reader import inferred
from tests.unit.tasks.sinks.labelbox.test_answers import multi, single

MASK = [{"x": 100, "y": 50}, {"x": 100, "y": 90}, {"x": 140, "y": 90}]
DETAILS = (Detail(of="confidence", name="sure"), Detail(of="class", name="is"))


def asked(**settings: Any) -> Style:
    return Style(models=dict.fromkeys(("pets", "gaze", "weather", "tags"), ModelStyle(**settings)))


@pytest.mark.parametrize(
    ("said", "style", "expected"),
    [
        (results([thing(100, 100)], [thing(106, 100)]), asked(details=DETAILS), {"dog": "NDSegments"}),
        (results([thing(100, 100, points=MASK)]), asked(kinds=(Kind.OUTLINE,)), {"dog": "NDSegments"}),
        (
            results([thing(100, 100, keypoints=skeleton(("nose", 95, 70, 0.9)))]),
            Style(),
            {"dog": "NDSegments", "dog nose": "NDSegments"},
        ),
        (looking(gaze(0.3, 0.2)), asked(kinds=(Kind.DIRECTION,)), {"face": "NDSegments"}),
        (single({"sun": 0.9}, {"rain": 0.9}), Style(), {"weather": "NDRadio"}),
        (single({"wet/rain": 0.9}), asked(separator="/", per_video=True), {"weather": "NDRadio"}),
        (multi({"wet": 0.9, "dark": 0.8}), Style(), {"tags": "NDChecklist"}),
        (multi({"a/b": 0.9, "a/c": 0.8}), asked(separator="/", per_video=True), {"tags": "NDChecklist"}),
        (single({"GOAL": 0.9}), asked(kinds=(Kind.TEXT,), per_video=True), {"weather": "NDText"}),
    ],
)
def test_labelboxs_own_models_read_every_kind(
    tmp_path: Path, said: dict[str, Any], style: Style, expected: dict[str, str]
) -> None:
    """Shapes and names are theirs."""
    from labelbox.data.serialization.ndjson.label import NDLabel

    lines = [msgspec.to_builtins(line) for line in annotate(inferred(tmp_path, said), style).lines]

    assert expected == {line["name"]: type(NDLabel(annotations=line).annotations).__name__ for line in lines}


def test_labelboxs_own_model_reads_texts_by_frames(tmp_path: Path) -> None:
    """A value with its frames, several in one line."""
    from labelbox.data.serialization.ndjson.classification import NDVideoText

    (line,) = annotate(inferred(tmp_path, single({"GOAL": 0.9}, {"FOUL": 0.9})), asked(kinds=(Kind.TEXT,))).lines

    read = NDVideoText.model_validate(msgspec.to_builtins(line))

    assert ["GOAL", "FOUL"] == [answer.value for answer in read.answer]


def test_lines_are_spelled_out_again_at_each_pass(tmp_path: Path) -> None:
    """All at once, one, or some; nothing is used up."""
    lines = annotate(inferred(tmp_path, single({"sun": 0.9}, {"rain": 0.9}, {"fog": 0.9})), Style()).lines

    assert 3 == len(lines)
    assert list(lines) == list(lines)
    assert [lines[0], *lines[1:]] == list(lines)
    assert len({line.uuid for line in lines}) == 3
