"""What an ontology lacks of what annotations need, and what cannot be helped."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.domain.errors import OntologyMismatch
from tasks.sinks.labelbox.features import Feature, FeatureKind, Option
from tasks.sinks.labelbox.ontology import additions
from tasks.sinks.labelbox.ontology_file import normalized

BOX, RADIO, CHECKLIST = FeatureKind.BOX, FeatureKind.RADIO, FeatureKind.CHECKLIST


def options(*names: str, below: tuple[Feature, ...] = ()) -> tuple[Option, ...]:
    return tuple(Option(name=name, classifications=below) for name in names)


WET = Feature(name="how wet", kind=RADIO, options=options("damp", "soaked"))
WEATHER = Feature(name="weather", kind=RADIO, by_frames=True, options=(*options("dry"), *options("wet", below=(WET,))))
WEARS = Feature(name="wears", kind=CHECKLIST, by_frames=True, options=options("hat"))
PLAYER = Feature(name="player", kind=BOX, classifications=(WEARS,))
EVERYTHING = (
    PLAYER,
    Feature(name="nose", kind=FeatureKind.POINT),
    WEATHER,
    Feature(name="plate", kind=FeatureKind.TEXT),
)


def with_ids(document: Any, path: str = "id") -> Any:
    """The document as Labelbox gives it back: every feature has an id, and a few words more."""
    if isinstance(document, list):
        return [with_ids(one, f"{path}.{index}") for index, one in enumerate(document)]
    if not isinstance(document, dict):
        return document
    return {key: with_ids(value, f"{path}.{key}") for key, value in document.items()} | {
        "featureSchemaId": path,
        "archived": 0,
    }


def known(*features: Feature) -> dict[str, Any]:
    document: dict[str, Any] = with_ids(normalized(features))
    return document


def test_an_ontology_that_has_everything_lacks_nothing() -> None:
    """Whatever else it says of its features."""
    assert [] == additions(known(*EVERYTHING), EVERYTHING, "football")


def test_an_empty_ontology_lacks_everything() -> None:
    """Each feature is spelled as in an ontology of its own."""
    own = normalized(EVERYTHING)

    assert [*own["tools"], *own["classifications"]] == additions({}, EVERYTHING, "football")


def test_a_new_answer_is_added_to_its_question() -> None:
    """The whole question comes back, with its ids, and the answer without one."""
    question = Feature(name="weather", kind=RADIO, by_frames=True, options=options("dry"))
    before = known(question)

    (change,) = additions(before, [WEATHER], "football")

    (there,) = before["classifications"]
    assert there["featureSchemaId"] == change["featureSchemaId"]
    assert [there["options"][0], *normalized([WEATHER])["classifications"][0]["options"][1:]] == change["options"]


def test_what_is_deep_down_is_added_there() -> None:
    """A question below a tool, an answer below a question below an answer: all around it keeps its ids."""
    damp = Feature(name="how wet", kind=RADIO, options=options("damp"))
    weather = Feature(
        name="weather", kind=RADIO, by_frames=True, options=(*options("dry"), *options("wet", below=(damp,)))
    )
    before = known(Feature(name="player", kind=BOX), weather)

    player, changed = additions(before, (PLAYER, WEATHER), "football")

    assert ["wears"] == [one["name"] for one in player["classifications"]]
    (below,) = changed["options"][1]["options"]
    assert ["damp", "soaked"] == [one["value"] for one in below["options"]]
    assert below["featureSchemaId"] == before["classifications"][0]["options"][1]["options"][0]["featureSchemaId"]


def test_of_two_of_one_name_the_fitting_one_counts() -> None:
    """A polygon beside a box of that name is no trouble, and is left alone."""
    before = known(Feature(name="player", kind=BOX))
    before["tools"].insert(0, {"tool": "polygon", "name": "player", "featureSchemaId": "p", "classifications": []})

    (change,) = additions(before, [PLAYER], "football")

    assert "rectangle" == change["tool"]


@pytest.mark.parametrize(
    ("there", "needed", "words"),
    [
        (Feature(name="player", kind=FeatureKind.POINT), PLAYER, "'player' is a point there, not a box"),
        (WEATHER, Feature(name="weather", kind=BOX), "'weather' is a radio there, not a box"),
        (
            Feature(name="weather", kind=RADIO, options=options("dry")),
            WEATHER,
            "'weather' is answered once per video there, and the predictions are for frames",
        ),
        (WEATHER, Feature(name="Weather", kind=RADIO, by_frames=True), "differs from 'Weather' by case alone"),
        (
            Feature(name="player", kind=BOX, classifications=(Feature(name="wears", kind=FeatureKind.TEXT),)),
            PLAYER,
            "'wears' of 'player' is a free text there, not a checklist",
        ),
    ],
)
def test_what_does_not_fit_is_named(there: Feature, needed: Feature, words: str) -> None:
    """The ontology, the feature, what it is and what it would have to be."""
    with pytest.raises(OntologyMismatch, match="ontology 'football' does not fit: ") as caught:
        additions(known(there), [needed], "football")

    assert words in caught.value.message
    assert "delivery" not in caught.value.code
    assert "classes" in caught.value.hint


def test_every_problem_is_told_at_once() -> None:
    """Whoever mends the ontology does it once."""
    there = known(Feature(name="player", kind=FeatureKind.POINT), Feature(name="ball", kind=FeatureKind.LINE))

    with pytest.raises(OntologyMismatch, match=r"'player' is a point there.*; 'ball' is a polyline there"):
        additions(there, [PLAYER, Feature(name="ball", kind=BOX)], "football")


def test_the_sdk_reads_what_we_spell() -> None:
    """Labelbox' own builder takes the whole document, and gives its features back."""
    from labelbox import OntologyBuilder

    builder = OntologyBuilder.from_dict(normalized(EVERYTHING))

    assert ["player", "nose"] == [tool.name for tool in builder.tools]
    assert ["weather", "plate"] == [one.name for one in builder.classifications]
