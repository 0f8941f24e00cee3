"""What a labelbox route says of models and classes, and the words of its mistakes."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from config.annotations import Kind, ModelAnnotations
from config.routes import LabelboxRoute
from tasks.sinks.labelbox import style
from tests.unit.config.conftest import Load, Mistakes, blocks

LABELBOX = "to: labelbox, upload: no, uri: /out"


def route(load: Load, sound: str, settings: str) -> LabelboxRoute:
    (found,) = load(sound.replace("to: results, uri: /out", f"{LABELBOX}, {settings}")).routes
    assert isinstance(found, LabelboxRoute)
    return found


def test_the_kinds_are_those_of_the_sink() -> None:
    """And ``nothing``."""
    assert {"nothing", *style.Kind} == set(get_args(Kind))


def test_a_class_is_named_or_told_its_tools(load: Load, sound: str) -> None:
    """A plain name keeps meaning what it always did."""
    found = route(load, sound, "classes: {Person: player, ball: {point: Ball, box: Ball box}, dog: {points: {}}}")

    assert found.classes is not None
    person, ball, dog = found.classes.values()
    assert "player" == person
    assert not isinstance(ball, str)
    assert ("Ball", "Ball box", None, None) == (ball.point, ball.box, ball.outline, ball.points)
    assert not isinstance(dog, str)
    assert {} == dog.points


def test_a_model_has_defaults(load: Load, sound: str) -> None:
    """What is not said is left to the kind of model."""
    found = route(load, sound, "models: {oidv4: {}}")

    assert found.models is not None
    model = found.models["oidv4"]
    assert (None, "frames", 32, 0.01, 0.01) == (
        model.kind, model.per, model.vertices, model.temperature, model.min_share
    )  # fmt: skip


@pytest.mark.parametrize(("written", "read"), [("box", ("box",)), ("[box, checklist]", ("box", "checklist"))])
def test_a_kind_is_one_or_a_list(load: Load, sound: str, written: str, read: tuple[str, ...]) -> None:
    """One needs no brackets."""
    found = route(load, sound, f"models: {{oidv4: {{kind: {written}}}}}")

    assert found.models is not None
    assert read == found.models["oidv4"].kind


def test_a_default_that_is_written_out_changes_no_fingerprint() -> None:
    """Nor does one that a later version adds: nothing is delivered again for it."""
    plain, written = (
        LabelboxRoute.model_validate({"to": "labelbox", "upload": False, "uri": "/o", "models": {"a": settings}})
        for settings in ({"kind": "box"}, {"kind": ["box"], "per": "frames", "vertices": 32})
    )

    assert plain.fingerprint() == written.fingerprint()


@pytest.mark.parametrize(
    ("settings", "expected", "allowed"),
    [
        ("classes: {a: {bxo: b}}", "classes.a.bxo: unknown key 'bxo'; did you mean 'box'?", "point"),
        ("classes: {a: {box: 5}}", "classes.a.box: '5' is not text; put it in quotes", "text"),
        ("classes: {a: {}}", "classes.a: names no tool; a class that is to be left out belongs in 'omit'", "outline"),
        ("classes: {a: [b]}", "classes.a: this list is not text; put it in quotes", "each with its name"),
        ("omit: referee", "omit: 'referee' is not a list", "class names"),
        ("modls: {}", "modls: unknown key 'modls'; did you mean 'models'?", "classes"),
        ("models: {oidv: {}}", "models.oidv: this pipeline has no model 'oidv'", "oidv4"),
        (
            "models: {oidv4: {kind: bxo}}",
            "models.oidv4.kind[0]: 'bxo' is not one of the allowed values; did you mean 'box'?",
            "or a list of them",
        ),
        ("models: {oidv4: {kind: []}}", "models.oidv4.kind: this list is empty", "checklist"),
        (
            "models: {oidv4: {kind: [radio, text]}}",
            "models.oidv4.kind: a model answers one question: radio or text, not both",
            "checklist",
        ),
        ("models: {oidv4: {kind: [nothing, box]}}", "models.oidv4.kind: 'nothing' stands alone", "nothing"),
        (
            "models: {oidv4: {per: vido}}",
            "models.oidv4.per: 'vido' is not one of the allowed values; did you mean 'video'?",
            "frames, video",
        ),
        ("models: {oidv4: {vertices: 2}}", "models.oidv4.vertices: '2' is too low", "3 to 500"),
        ("models: {oidv4: {prompts: a.txt}}", "models.oidv4.prompts: 'a.txt' is no file of vectors", ".npz"),
        ("models: {oidv4: {temperature: 0}}", "models.oidv4.temperature: '0' is too low", "above 0"),
        (
            "models: {oidv4: {details: [{off: class}]}}",
            "models.oidv4.details[0].off: unknown key 'off'; did you mean 'of'?",
            "bands",
        ),
        (
            "models: {oidv4: {details: [{of: confidense}]}}",
            "models.oidv4.details[0].of: 'confidense' is no other model of this pipeline",
            "confidence, class, direction",
        ),
        (
            "models: {oidv4: {details: [{of: confidence, bands: [0.8, 0.5]}]}}",
            "models.oidv4.details[0].bands: this list is not increasing",
            "increasing",
        ),
        (
            "models: {oidv4: {details: [{of: class, kind: checklist}]}}",
            "models.oidv4.details[0].kind: 'checklist' is for models: 'class' has one answer",
            "radio",
        ),
        (
            "models: {oidv4: {details: [{of: class}, {of: confidence, name: class}]}}",
            "models.oidv4.details: two questions have one name; give each a 'name' of its own",
            "a list of questions",
        ),
        ("models: {oidv4: {classes: {a: {bxo: b}}}}", "models.oidv4.classes.a.bxo: unknown key 'bxo'", "point"),
    ],
)
def test_each_mistake_has_its_words(mistakes: Mistakes, sound: str, settings: str, expected: str, allowed: str) -> None:
    """At its line, with the key inside of models and classes, and what is allowed there."""
    problems = mistakes(sound.replace("to: results, uri: /out", f"{LABELBOX}, {settings}"))

    told = blocks(problems)
    assert any(line.startswith(f"8: routes[0].{expected}") for line in told), told
    assert any(allowed in problem.allowed for problem in problems)


@pytest.mark.parametrize("key", ["api_key", "password"])
def test_names_of_classes_and_models_may_look_like_secrets(load: Load, sound: str, key: str) -> None:
    """They are the user's words."""
    assert {key: "x"} == route(load, sound, f"classes: {{{key}: x}}").classes


def test_prompts_are_relative_to_the_working_directory(load: Load, sound: str, here: Any) -> None:
    """As every plain path of a pipeline file is."""
    found = route(load, sound, "models: {oidv4: {prompts: prompts/a.json}}")

    assert found.models is not None
    assert str(here / "prompts" / "a.json") == found.models["oidv4"].prompts


def test_a_model_by_itself_is_enough() -> None:
    """Every key has a default."""
    assert () == ModelAnnotations().details
