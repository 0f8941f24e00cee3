"""The ontology that lies beside the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.domain.errors import DeliveryFailed
from tasks.domain.predictions import TaskType
from tasks.sinks.labelbox.features import Feature, FeatureKind, Option
from tasks.sinks.labelbox.ndjson import expected_features
from tasks.sinks.labelbox.ontology_file import completed, normalized
from tasks.sinks.labelbox.sink import LabelboxFileSink
from tasks.sinks.labelbox.style import Detail, Kind, ModelStyle, Style
from tests.contracts.deliveries import make_delivery
from tests.contracts.memory_storage import MemoryStorage, contents
from tests.unit.tasks.sinks.labelbox.strict_reader import seen

HOW_WET = Feature(name="how wet", kind=FeatureKind.RADIO, options=(Option(name="rain"), Option(name="hail")))
EVERY_KIND = (
    Feature(
        name="player",
        kind=FeatureKind.BOX,
        classifications=(
            Feature(name="wears", kind=FeatureKind.CHECKLIST, by_frames=True, options=(Option(name="cap"),)),
            Feature(name="looks", kind=FeatureKind.TEXT, by_frames=True),
        ),
    ),
    Feature(name="nose", kind=FeatureKind.POINT),
    Feature(name="outline", kind=FeatureKind.LINE),
    Feature(
        name="weather",
        kind=FeatureKind.RADIO,
        by_frames=True,
        options=(Option(name="sun"), Option(name="wet", classifications=(HOW_WET,))),
    ),
    Feature(name="tags", kind=FeatureKind.CHECKLIST, options=(Option(name="night"),)),
    Feature(name="plate", kind=FeatureKind.TEXT, by_frames=True),
)


def read(document: bytes | None) -> dict[str, Any]:
    assert document is not None
    found: dict[str, Any] = json.loads(document)
    return found


def test_labelboxs_sdk_reads_it() -> None:
    """Tools, questions, scopes and nested questions, as its own builder would have made them."""
    from labelbox.schema.ontology import Classification, OntologyBuilder, Tool

    ontology = OntologyBuilder.from_dict(read(completed(None, EVERY_KIND)))

    player, nose, outline = ontology.tools
    assert [Tool.Type.BBOX, Tool.Type.POINT, Tool.Type.LINE] == [tool.tool for tool in (player, nose, outline)]
    assert ["wears", "looks"] == [question.name for question in player.classifications]
    weather, tags, plate = ontology.classifications
    scope = Classification.Scope
    assert [scope.INDEX, scope.GLOBAL, scope.INDEX] == [question.scope for question in (weather, tags, plate)]
    assert ["sun", "wet"] == [option.value for option in weather.options]
    assert ["rain", "hail"] == [option.value for option in weather.options[1].options[0].options]
    assert Classification.Type.CHECKLIST == tags.class_type
    assert {"player", "nose", "outline"} == {tool["name"] for tool in ontology.asdict()["tools"]}


def test_what_is_there_stays() -> None:
    """Order, colours, ids, and features that nobody asks for today."""
    mine = normalized(EVERY_KIND[1:])
    mine["tools"][0] |= {"color": "#ff0000", "featureSchemaId": "abc"}
    mine["name"] = "football"

    found = read(completed(json.dumps(mine).encode(), EVERY_KIND[:1]))

    assert "football" == found["name"]
    assert ["nose", "outline", "player"] == [tool["name"] for tool in found["tools"]]
    assert mine["tools"][0] == found["tools"][0]
    assert mine["classifications"] == found["classifications"]


def test_options_are_added_to_a_question() -> None:
    """Also to one below an option."""
    more = Feature(name="how wet", kind=FeatureKind.RADIO, options=(Option(name="fog"),))
    weather = Feature(
        name="weather", kind=FeatureKind.RADIO, by_frames=True, options=(Option(name="wet", classifications=(more,)),)
    )

    found = read(completed(json.dumps(normalized(EVERY_KIND)).encode(), [weather]))

    wet = found["classifications"][0]["options"][1]
    assert ["rain", "hail", "fog"] == [option["value"] for option in wet["options"][0]["options"]]


def test_nothing_new_is_nothing_to_write() -> None:
    """The file is not touched by a run that has seen it all before."""
    assert completed(completed(None, EVERY_KIND), EVERY_KIND) is None


def test_a_feature_that_became_another_kind_is_replaced() -> None:
    """The route was changed, and its files are written again."""
    found = read(completed(completed(None, EVERY_KIND), [Feature(name="nose", kind=FeatureKind.BOX)]))

    assert "rectangle" == found["tools"][1]["tool"]


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{", b'{"tools": {}}', b'{"tools": [1]}', b'{"tools": [{"tool": "x"}]}']
)
def test_another_file_of_that_name_is_left_alone(document: bytes) -> None:
    """It may be somebody's."""
    with pytest.raises(DeliveryFailed, match="no ontology"):
        completed(document, EVERY_KIND)


def test_batches_put_their_features_together(tmp_path: Path) -> None:
    """Two runs, two models' classes, one ontology."""
    store = MemoryStorage()
    sink = LabelboxFileSink(store, Style())
    for classes in (("player", "ball"), ("player", "referee")):
        delivery = make_delivery(tmp_path, [[seen()]], model_classes={"football": classes})
        sink.deliver(delivery)
        receipt = sink.finish([delivery])

    assert receipt is not None
    assert ("mem://box/ontology.json",) == receipt.outputs
    found = read(store.read("ontology.json"))
    assert ["player", "ball", "referee"] == [tool["name"] for tool in found["tools"]]


def test_videos_that_need_nothing_write_none(tmp_path: Path) -> None:
    """Nothing found, and no classes known."""
    store = MemoryStorage()
    delivery = make_delivery(tmp_path, [[]], model_classes={})

    assert LabelboxFileSink(store, Style()).finish([delivery]) is None
    assert {} == contents(store)


def test_what_will_be_needed_is_known_before_anything_is_inferred() -> None:
    """For set-up and checks that come first; questions of one model about another included."""
    style = Style(
        classes={"Person": "player"},
        models={
            "people": ModelStyle(details=(Detail(of="hats", name="wears", many=True),)),
            "hats": ModelStyle(silent=True),
            "weather": ModelStyle(kinds=(Kind.RADIO,), separator="/"),
        },
    )
    models = [
        ("people", TaskType.OBJECT_DETECTION, ("Person", "ball")),
        ("hats", TaskType.OBJECT_DETECTION, ("cap",)),
        ("weather", TaskType.CLASSIFICATION, ("wet/rain", "dry")),
        ("gaze", TaskType.GAZE, ()),
    ]

    features = {feature.name: feature for feature in expected_features(models, style)}

    wears = Feature(name="wears", kind=FeatureKind.CHECKLIST, by_frames=True, options=(Option(name="cap"),))
    rain = Feature(name="weather/wet", kind=FeatureKind.RADIO, options=(Option(name="rain"),))
    assert {"player", "ball", "weather"} == set(features)
    assert (wears,) == features["player"].classifications
    assert (Option(name="wet", classifications=(rain,)), Option(name="dry")) == features["weather"].options
