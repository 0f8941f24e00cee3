"""From a route's settings to how predictions become annotations."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.pipeline import Pipeline
from config.routes import LabelboxRoute
from tasks.domain.errors import InputInvalid
from tasks.domain.job import ModelRef
from tasks.domain.predictions import TaskType
from tasks.inference.base import ModelInfo
from tasks.labelbox_style import check_styles, fingerprint_of, labelbox_style
from tasks.sinks.labelbox.style import ClassStyle, Detail, Kind, ModelStyle, Style


def labelbox(**settings: Any) -> LabelboxRoute:
    return LabelboxRoute.model_validate({"to": "labelbox", "upload": False, "uri": "/o"} | settings)


def test_a_route_that_says_nothing_has_the_default_style() -> None:
    """Two seconds, two pixels."""
    assert Style() == labelbox_style(labelbox())


def test_everything_that_a_route_says_is_in_the_style() -> None:
    """Nothing is lost between the file and the sink."""
    model = {
        "kind": ["box", "checklist"],
        "name": "seen",
        "per": "video",
        "separator": "/",
        "questions": {"vehicle": "which"},
        "classes": {"dog": {"points": {"nose": "Nose"}, "outline": "Dog"}},
        "omit": ["cat"],
        "keypoints": {"tail": "Tail"},
        "vertices": 8,
        "details": [{"of": "confidence", "bands": [0.3]}, {"of": "hats", "name": "wears", "kind": "checklist"}],
        "temperature": 0.5,
        "min_share": 0.2,
        "min_confidence": 0.1,
    }
    route = labelbox(
        min_confidence=0.4,
        max_gap="3s",
        keyframe_tolerance=1,
        classes={"Person": "player"},
        omit=["referee"],
        models={"pets": model, "hats": {"kind": "nothing"}},
    )

    assert Style(
        min_confidence=0.4,
        max_gap=timedelta(seconds=3),
        keyframe_tolerance=1.0,
        classes={"Person": "player"},
        omit=frozenset({"referee"}),
        models={
            "pets": ModelStyle(
                kinds=(Kind.BOX, Kind.CHECKLIST),
                name="seen",
                per_video=True,
                separator="/",
                questions={"vehicle": "which"},
                classes={"dog": ClassStyle(tools={Kind.OUTLINE: "Dog", Kind.POINTS: ""}, keypoints={"nose": "Nose"})},
                omit=frozenset({"cat"}),
                keypoints={"tail": "Tail"},
                vertices=8,
                details=(
                    Detail(of="confidence", name="confidence", bands=(0.3,)),
                    Detail(of="hats", name="wears", many=True),
                ),
                temperature=0.5,
                min_share=0.2,
                min_confidence=0.1,
            ),
            "hats": ModelStyle(silent=True),
        },
    ) == labelbox_style(route)


def prompts(folder: Path, **vectors: list[float]) -> str:
    path = folder / "prompts.json"
    path.write_text(json.dumps(vectors))
    return str(path)


def test_prompts_are_read(tmp_path: Path) -> None:
    """From the file that the route names."""
    path = prompts(tmp_path, goal=[2, 0], foul=[0, 3])

    found = labelbox_style(labelbox(models={"clip": {"prompts": path}})).models["clip"].prompts

    assert found is not None
    assert ("goal", "foul") == found.names


def test_other_prompts_are_another_delivery(tmp_path: Path) -> None:
    """The file's contents count, not only its name; routes without prompts keep their fingerprint."""
    route = labelbox(models={"clip": {"prompts": prompts(tmp_path, goal=[2, 0], foul=[0, 3])}})
    before = fingerprint_of(route)
    again = fingerprint_of(route)
    prompts(tmp_path, goal=[2, 0], foul=[1, 3])

    assert before == again
    assert before != fingerprint_of(route)
    assert labelbox().fingerprint() == fingerprint_of(labelbox())


PEOPLE = ModelInfo(ref=ModelRef("people", "1"), task=TaskType.OBJECT_DETECTION, classes=("person",))
CLIP = ModelInfo(ref=ModelRef("clip", "1"), task=TaskType.EMBEDDING)


def pipeline(**route: Any) -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": "yard",
            "sources": [{"uri": "/v"}],
            "inference": {"backend": "roboflow", "model": "people/1", "additional_models": ["clip"]},
            "routes": [{"to": "labelbox", "upload": False, "uri": "/o"} | route],
        }
    )


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ({"models": {"people": {"kind": "radio"}}}, "cannot become a Labelbox radio"),
        ({"models": {"people": {"kind": "outline"}}}, "cannot become a Labelbox outline"),
        ({"models": {"clip": {"kind": "box"}}}, "cannot become a Labelbox box"),
        ({"models": {"clip": {"prompts": "/absent.json"}}}, "cannot read prompts /absent.json"),
        ({"models": {"people": {"kind": ["box", "checklist"], "name": "person"}}}, "'person' would be two things"),
        ({"classes": {"person": {"direction": "x"}}}, "cannot become a Labelbox direction"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_paid_for(route: dict[str, Any], message: str) -> None:
    """By the kinds of model that the service names, as a mistake of the pipeline file."""
    with pytest.raises(InputInvalid, match=message):
        check_styles(pipeline(**route), [PEOPLE, CLIP])


def test_what_can_be_is_not_refused() -> None:
    """Embeddings without prompts beside other models are only left out."""
    check_styles(pipeline(), [PEOPLE, CLIP])


def test_missing_prompts_have_no_fingerprint(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(InputInvalid, match=r"gone\.json"):
        fingerprint_of(labelbox(models={"clip": {"prompts": str(tmp_path / "gone.json")}}))
