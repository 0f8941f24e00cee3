"""Parts that are right alone and wrong together."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from config.conflicts import conflicts
from config.routes import Route
from config.sources import Source

ROUTE: TypeAdapter[Route] = TypeAdapter(Route)


def found(sources: list[str | dict[str, Any]], routes: list[dict[str, Any]]) -> list[tuple[str | int, ...]]:
    listed = [Source.model_validate({"uri": source} if isinstance(source, str) else source) for source in sources]
    built = [ROUTE.validate_python(route) for route in routes]
    return [conflict.path for conflict in conflicts(dict(enumerate(listed)), dict(enumerate(built)), None)]


def video(uri: str, **settings: Any) -> dict[str, Any]:
    return {"to": "video", "uri": uri} | settings


def lightly(datasource: str, task: str, **settings: Any) -> dict[str, Any]:
    return {"to": "lightly", "datasource": datasource, "task_name": task} | settings


def test_what_fits_has_no_conflict() -> None:
    """Routes of different kinds may share a folder, and two tasks a datasource."""
    routes = [video("/o"), {"to": "results", "uri": "/o"}, lightly("/o", "a"), lightly("/o", "b"), video("/o/b")]
    assert [] == found(["/v", "/w"], routes)


def test_a_place_is_listed_once() -> None:
    """Two sources of one place would give each video two names."""
    assert [("sources", 2, "uri")] == found(["/v", "/w", "/v/"], [])


def test_one_name_is_not_two_stores() -> None:
    """A video's URI has to say where it is; another prefix of the same container may have other credentials."""
    cloud: dict[str, Any] = {"uri": "az://videos/a/", "account": "acme"}
    assert [("sources", 1, "uri")] == found([cloud, {"uri": "az://videos/b/", "account": "other"}], [])
    assert [("sources", 1, "uri")] == found(["s3://v/", {"uri": "s3://v/b", "endpoint_url": "http://minio:9000"}], [])
    assert [] == found(
        [cloud, {"uri": "az://videos/b/", "account": "acme", "credentials": "reader"}, "s3://videos/"], []
    )


def test_the_same_place_in_two_stores_is_two_places() -> None:
    """Routes may write the same name to the cloud and to a copy of it."""
    out = {"to": "results", "uri": "s3://out/"}
    assert [] == found(["/v"], [out, out | {"endpoint_url": "http://minio:9000"}])
    assert [("routes", 1, "uri")] == found(["/v"], [out, out | {"credentials": "writer"}])


def test_a_name_is_given_once() -> None:
    """Deliveries are remembered by it."""
    assert [("routes", 1, "name")] == found(["/v"], [video("/a", name="x"), video("/b", name="x"), video("/c")])


def test_two_routes_of_a_kind_do_not_share_their_place() -> None:
    """Each would overwrite what the other wrote."""
    routes = [
        video("/o"),
        video("/o/", name="two", min_confidence=0.5),
        lightly("/l", "t"),
        lightly("/l", "t", fill="hold"),
    ]
    assert [("routes", 1, "uri"), ("routes", 3, "task_name")] == found(["/v"], routes)


@pytest.mark.parametrize("uri", ["/v", "/v/annotated", "/v/a/b", "/v/annotated/{date}"])
def test_copies_are_not_written_where_videos_are_listed(uri: str) -> None:
    """The next run would take them for new videos, pay for them, and copy the copies."""
    assert [("routes", 0, "uri")] == found(["/v"], [video(uri)])


@pytest.mark.parametrize(
    ("exclude", "uri"),
    [("annotated/**", "/v/annotated"), ("annotated/**", "/v/annotated/{date}"), ("a/b/**", "/v/a/b")],
)
def test_copies_may_be_written_where_the_source_does_not_look(exclude: str, uri: str) -> None:
    """An exclude that covers the folder settles it."""
    assert [] == found([{"uri": "/v", "exclude": [exclude]}], [video(uri)])


@pytest.mark.parametrize("uri", ["/videos-annotated", "/annotated", "/"])
def test_a_place_beside_or_above_the_source_is_outside(uri: str) -> None:
    """A common beginning of two names does not make one the other's folder."""
    assert [] == found(["/videos"], [video(uri)])


def test_only_copies_are_videos() -> None:
    """Tables and JSON below a source are found by nobody."""
    assert [] == found(["/v"], [{"to": "results", "uri": "/v/results"}])


def test_every_source_is_in_the_input_datasource() -> None:
    """LightlyOne knows a video by its path in there."""
    assert [("routes", 0, "input_root")] == found(["/in/a", "/other"], [lightly("/l", "t", input_root="/in")])
    assert [] == found(["/in/a", "/in"], [lightly("/l", "t", input_root="/in")])
