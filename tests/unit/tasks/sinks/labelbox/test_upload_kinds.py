"""Predictions of every kind, as a service's JSON has them, end in a model run as annotations of every kind."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tasks.sinks.labelbox.global_key import global_key
from tasks.sinks.labelbox.ndjson import annotate
from tasks.sinks.labelbox.style import Detail, Kind, ModelStyle, Prompts, Style
from tests.emulators.labelbox.server import LabelboxServer
from tests.emulators.labelbox.world import Media
from tests.unit.tasks.sinks.labelbox.sightings import gaze, looking, pets, results, skeleton, thing
from tests.unit.tasks.sinks.labelbox.strict_reader import inferred
from tests.unit.tasks.sinks.labelbox.test_answers import multi, single, weather
from tests.unit.tasks.sinks.labelbox.workplace import Workplace

SQUARE = [{"x": 100, "y": 50}, {"x": 100, "y": 90}, {"x": 140, "y": 90}, {"x": 140, "y": 50}]
PROMPTS = Prompts(names=("a goal", "a foul"), vectors=np.array([[1.0, 0.0], [0.0, 1.0]]))
TWO_DOGS = [[thing(100, 100, tracker_id=1), thing(300, 100, tracker_id=2)]] * 3
POINTS = skeleton(("nose", 95, 70, 0.9), ("tail", 110, 130, 0.9))
GAZES = looking(gaze(math.pi / 6, -math.pi / 4))
CLIP = {"frame_offset": [0, 6], "clip": [[8.0, 6.0], [0.0, 3.0]]}

# What a model says, what the route makes of it, and the names of the features that come of it.
KINDS: dict[str, tuple[dict[str, Any], Style, set[str]]] = {
    "boxes": (results(*TWO_DOGS), Style(), {"dog"}),
    "middles": (results(*TWO_DOGS), pets(kinds=(Kind.POINT,)), {"dog"}),
    "outlines": (
        results([thing(120, 70, points=SQUARE)]),
        pets(kinds=(Kind.BOX, Kind.OUTLINE), vertices=8),
        {"dog", "dog outline"},
    ),
    "keypoints": (results([thing(100, 100, keypoints=POINTS)]), Style(), {"dog", "dog nose", "dog tail"}),
    "boxes that say how sure they are": (
        results(*TWO_DOGS),
        pets(details=(Detail(of="confidence", name="certainty"),)),
        {"dog"},
    ),
    "boxes that say what another model finds in them": (
        results(*TWO_DOGS) | {"hats": results([thing(100, 70, "cap", width=20, height=10)], [], [])["pets"]},
        Style(models={"hats": ModelStyle(silent=True), "pets": ModelStyle(details=(Detail(of="hats", name="wears"),))}),
        {"dog"},
    ),
    "radio by frames": (single({"sun": 0.9}, {"rain": 0.8}), Style(), {"weather"}),
    "radio, global": (single({"sun": 0.9}, {"rain": 0.8}), weather(per_video=True), {"weather"}),
    "checklist by frames": (multi({"a": 0.9, "b": 0.8}, {"b": 0.7}), Style(), {"tags"}),
    "checklist, global": (multi({"a": 0.9, "b": 0.8}, {"b": 0.7}), weather(per_video=True), {"tags"}),
    "nested radio": (single({"wet/rain": 0.9}, {"dry": 0.6}), weather(separator="/"), {"weather"}),
    "nested checklist": (multi({"x/a": 0.9, "x/b": 0.7, "y": 0.6}), weather(separator="/"), {"tags"}),
    "texts by frames": (single({"GOAL": 0.9}, {"FOUL": 0.9}), weather(kinds=(Kind.TEXT,)), {"weather"}),
    "text, global": (single({"GOAL": 0.9}), weather(kinds=(Kind.TEXT,), per_video=True), {"weather"}),
    "CLIP with prompts": (CLIP, Style(models={"clip": ModelStyle(name="scene", prompts=PROMPTS)}), {"scene"}),
    "text of each box": (
        GAZES,
        Style(models={"gaze": ModelStyle(kinds=(Kind.BOX,), details=(Detail(of="direction", name="looks"),))}),
        {"face"},
    ),
    "direction of a gaze": (
        GAZES,
        Style(models={"gaze": ModelStyle(kinds=(Kind.BOX, Kind.POINTS, Kind.DIRECTION))}),
        set(),  # as many names as a face has landmarks
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_ends_in_the_model_run(
    workplace: Workplace, server: LabelboxServer, tmp_path: Path, kind: str
) -> None:
    """The ontology is made for it, no annotation is refused, and the run has each line as it was made."""
    said, style, names = KINDS[kind]
    delivery = inferred(tmp_path, said)
    info = delivery.info
    server.world.media[global_key(delivery.video.uri)] = Media(*info.display_size, info.frame_count)

    done = workplace.deliver([delivery], style=style)

    assert {} == done.refused
    made = [json.loads(msgspec.json.encode(line)) for line in annotate(delivery, style).lines]
    assert made
    assert sorted(made, key=lambda line: str(line["uuid"])) == server.predictions("night 1")
    assert not names or names == {str(line["name"]) for line in made}


def test_all_kinds_go_to_one_run_night_after_night(
    workplace: Workplace, server: LabelboxServer, tmp_path: Path
) -> None:
    """A model's new answers, and new models, are added to the ontology that is there."""
    for said in (single({"sun": 0.9}), single({"rain": 0.8}), multi({"a": 0.9}), results(*TWO_DOGS)):
        delivery = inferred(tmp_path, said)
        server.world.media[global_key(delivery.video.uri)] = Media(640, 360, 100)
        assert {} == workplace.deliver([delivery], style=Style()).refused

    (ontology,) = server.world.ontologies.values()
    features = server.world.normalized(ontology)
    assert ["dog"] == [tool["name"] for tool in features["tools"]]
    answers = {one["name"]: [option["value"] for option in one["options"]] for one in features["classifications"]}
    assert {"weather": ["sun", "rain"], "tags": ["a"]} == answers
