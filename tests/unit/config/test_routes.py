"""Routes: their kinds, names and fingerprints."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from config.routes import ROUTES, LabelboxRoute, LightlyRoute, ResultsRoute, Route, VideoRoute, named

ADAPTER: TypeAdapter[Route] = TypeAdapter(Route)
LEAST: dict[str, dict[str, Any]] = {
    "results": {"to": "results", "uri": "/o"},
    "lightly": {"to": "lightly", "datasource": "/o", "task_name": "t"},
    "labelbox": {"to": "labelbox", "upload": False, "uri": "/o"},
    "video": {"to": "video", "uri": "/o"},
}


def route(to: str, **settings: Any) -> Route:
    return ADAPTER.validate_python(LEAST[to] | settings)


def refused(to: str, **settings: Any) -> list[object]:
    with pytest.raises(ValidationError) as caught:
        route(to, **settings)
    return [error["loc"][-1] for error in caught.value.errors()]


def test_the_least_that_each_route_needs() -> None:
    """And what it then does."""
    results, lightly, labelbox, video = (route(to) for to in LEAST)
    assert isinstance(results, ResultsRoute)
    assert (("json", "parquet"), "file:///o/") == (results.formats, results.uri)
    assert isinstance(lightly, LightlyRoute)
    assert ("none", None, None) == (lightly.fill, lightly.input_root, lightly.min_confidence)
    assert isinstance(labelbox, LabelboxRoute)
    assert (timedelta(seconds=2), 2.0, None) == (labelbox.max_gap, labelbox.keyframe_tolerance, labelbox.classes)
    assert isinstance(video, VideoRoute)
    assert video.min_confidence is None


UPLOADED = {"dataset": "football", "ontology": "football", "model": "players", "model_run": "{date}"}


def test_the_table_of_kinds_is_complete() -> None:
    """A route that the file can name has its model there."""
    assert set(LEAST) == set(ROUTES)
    assert all(type(route(to)) is ROUTES[to] for to in LEAST)


@pytest.mark.parametrize(
    ("to", "settings", "key"),
    [
        ("results", {"formats": []}, "formats"),
        ("results", {"formats": ["json", "json"]}, "formats"),
        ("results", {"formats": ["csv"]}, 0),
        ("results", {"formats": "json"}, "formats"),
        ("results", {"min_confidence": 0.5}, "min_confidence"),
        ("results", {"uri": "/o/{day}"}, "uri"),
        ("results", {"name": ""}, "name"),
        ("results", {"name": "Two"}, "name"),
        ("results", {"name": "-x"}, "name"),
        ("lightly", {"task_name": "a/b"}, "task_name"),
        ("lightly", {"task_name": "a b"}, "task_name"),
        ("lightly", {"task_name": ".."}, "task_name"),
        ("lightly", {"task_name": ""}, "task_name"),
        ("lightly", {"fill": "empty"}, "fill"),
        ("lightly", {"max_gap": 3}, "max_gap"),
        ("lightly", {"frame_count": "header"}, "frame_count"),
        ("lightly", {"keypoints": ["nose"]}, "keypoints"),
        ("lightly", {"selection_run": {"dataset_id": "yard", "selection": {}}}, "dataset_id"),
        ("lightly", {"selection_run": {"dataset_id": "0" * 24}}, "selection"),
        ("lightly", {"min_confidence": 2}, "min_confidence"),
        ("labelbox", {"upload": True, **UPLOADED}, "uri"),
        ("labelbox", {"upload": True, "uri": None, **UPLOADED, "ontology": None}, "ontology"),
        ("labelbox", {"upload": True, "uri": None, **UPLOADED, "url_lifetime": "8d"}, "url_lifetime"),
        ("labelbox", {"project_annotations": "labels"}, "project_annotations"),
        ("labelbox", {"labels_to_run": True}, "labels_to_run"),
        ("labelbox", {"project": "p", "batch_priority": 6}, "batch_priority"),
        ("labelbox", {"uri": None}, "uri"),
        ("labelbox", {"model_run": "{time}"}, "model_run"),
        ("labelbox", {"dataset": ""}, "dataset"),
        ("labelbox", {"max_gap": 2}, "max_gap"),
        ("labelbox", {"keyframe_tolerance": -1}, "keyframe_tolerance"),
        ("labelbox", {"classes": ["person"]}, "classes"),
        ("video", {"min_confidence": True}, "min_confidence"),
    ],
)
def test_impossible_routes_are_refused(to: str, settings: dict[str, Any], key: object) -> None:
    """At the key that is wrong."""
    assert [key] == refused(to, **settings)


def test_upload_is_the_default_and_says_where_to() -> None:
    """A labelbox route that says nothing else uploads, so each name that it needs and lacks is asked for."""
    with pytest.raises(ValidationError, match="an upload needs dataset, ontology, model and model_run") as caught:
        ADAPTER.validate_python({"to": "labelbox", "dataset": "football"})
    assert ["ontology", "model", "model_run"] == [error["loc"][-1] for error in caught.value.errors()]


def test_an_upload_has_no_place_for_files() -> None:
    """It writes nothing, so nothing is checked for writing."""
    labelbox = ADAPTER.validate_python({"to": "labelbox", **UPLOADED})
    assert isinstance(labelbox, LabelboxRoute)
    assert (True, "", timedelta(days=7)) == (labelbox.upload, labelbox.location, labelbox.url_lifetime)


def test_the_keys_of_the_upload_may_stand_beside_upload_false() -> None:
    """People switch the upload on and off without rewriting the route."""
    labelbox = route("labelbox", dataset="d", ontology="o", model="m", model_run="{pipeline}-{date}", max_gap="0s")
    assert isinstance(labelbox, LabelboxRoute)
    assert ("{pipeline}-{date}", timedelta(0)) == (labelbox.model_run, labelbox.max_gap)


def test_classes_are_renamed() -> None:
    """The model's name on the left."""
    labelbox = route("labelbox", classes={"Person": "player"})
    assert isinstance(labelbox, LabelboxRoute)
    assert {"Person": "player"} == labelbox.classes


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([("results", ""), ("video", "")], ["results", "video"]),
        ([("results", ""), ("results", ""), ("results", "")], ["results", "results-2", "results-3"]),
        ([("results", "raw"), ("results", "")], ["raw", "results"]),
        ([("results", ""), ("results", "results")], ["results-2", "results"]),
        ([("results", ""), ("results", ""), ("video", "results-2")], ["results", "results-3", "results-2"]),
    ],
)
def test_routes_without_a_name_get_one(given: list[tuple[str, str]], expected: list[str]) -> None:
    """What its `to` says, numbered where that is taken, never one that somebody chose."""
    routes = tuple(route(to, **({"name": name} if name else {})) for to, name in given)
    assert expected == [one.name for one in named(routes)]


PLACES = {"results": "uri", "lightly": "datasource", "labelbox": "uri", "video": "uri"}


@pytest.mark.parametrize("to", LEAST)
def test_every_route_into_a_cloud_says_how_it_is_reached(to: str) -> None:
    """With the same three keys as a source."""
    keys = {"credentials": "writer", "endpoint_url": "https://acme.blob.core.windows.net", "account": "acme"}
    written = route(to, **{PLACES[to]: "az://out/x"}, **keys)
    assert keys == written.model_dump(include=set(keys))


@pytest.mark.parametrize("to", LEAST)
@pytest.mark.parametrize("key", ["credentials", "endpoint_url", "account"])
def test_a_folder_needs_no_cloud_keys(to: str, key: str) -> None:
    """A key that would be ignored is a mistake; so is another cloud's."""
    values = {"credentials": "writer", "endpoint_url": "http://127.0.0.1:9000", "account": "acme"}
    assert [key] == refused(to, **{key: values[key]})
    assert ["account"] == refused(to, **{PLACES[to]: "s3://out/", "account": "acme"})


def test_another_place_is_delivered_to_again_and_another_key_is_not() -> None:
    """Whoever rotates credentials does not want a year of predictions written anew."""
    plain, keyed = route("results", uri="s3://out/"), route("results", uri="s3://out/", credentials="new-key")
    moved = route("results", uri="s3://out/", endpoint_url="http://minio:9000")
    assert plain.fingerprint() == keyed.fingerprint()
    assert plain.fingerprint() != moved.fingerprint()


def test_fingerprints_stay_the_same_from_version_to_version() -> None:
    """They are in people's ledgers: another value would deliver everything again."""
    assert {
        "results": "c66e58b763b40e84",
        "lightly": "1ce43f3164ccb920",
        "labelbox": "05b66ad28135f439",
        "video": "f0bfeeed7781951f",
    } == {to: route(to).fingerprint() for to in LEAST}


@pytest.mark.parametrize(
    ("to", "settings"),
    [
        ("results", {"uri": "/p"}),
        ("results", {"formats": ["json"]}),
        ("lightly", {"fill": "hold"}),
        ("lightly", {"input_root": "/v"}),
        ("lightly", {"max_gap": "2s"}),
        ("lightly", {"keypoints": {"dog": ["nose"]}}),
        ("labelbox", {"max_gap": "3s"}),
        ("labelbox", {"classes": {"a": "b"}}),
        ("labelbox", {"min_confidence": 0}),
        ("video", {"min_confidence": 0.5}),
    ],
)
def test_every_change_of_a_setting_changes_the_fingerprint(to: str, settings: dict[str, Any]) -> None:
    """A changed route is delivered again."""
    assert route(to).fingerprint() != route(to, **settings).fingerprint()


@pytest.mark.parametrize(
    ("to", "settings"),
    [
        ("results", {"name": "raw"}),
        ("results", {"formats": ["json", "parquet"]}),
        ("results", {"uri": "/o/"}),
        ("labelbox", {"max_gap": "2s", "keyframe_tolerance": 2}),
        ("lightly", {"min_confidence": None}),
        ("lightly", {"selection_run": {"dataset_id": "0" * 24, "selection": {"nSamples": 5}}}),
    ],
)
def test_what_changes_nothing_keeps_the_fingerprint(to: str, settings: dict[str, Any]) -> None:
    """A name, a default written out, a slash."""
    assert route(to).fingerprint() == route(to, **settings).fingerprint()


def test_the_order_of_class_names_does_not_matter() -> None:
    """A mapping is one whatever its order."""
    forth, back = ({"a": "x", "b": "y"}, {"b": "y", "a": "x"})
    assert route("labelbox", classes=forth).fingerprint() == route("labelbox", classes=back).fingerprint()
