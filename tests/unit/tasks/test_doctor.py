"""doctor tries everything that a run needs, names what is missing, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.pipeline import Pipeline
from config.settings import Settings
from tasks.doctor import Finding, Findings, examine
from tasks.domain.errors import (
    AccessDenied,
    AuthRefused,
    InputInvalid,
    LocationMissing,
    ModelUnknown,
    NotSignable,
    ReelrouteError,
    ServiceUnavailable,
    StorageUnavailable,
)
from tasks.domain.job import ModelRef
from tasks.domain.predictions import TaskType
from tasks.inference.base import InferenceBackend, ModelInfo
from tests.lightly_server import DATASET, TOKEN, lightly_server
from tests.range_server import Fault, RangeServer, serve
from tests.rig import ScriptedBackend
from tests.unit.tasks.clouds import SECRET, Clouds, clouds

__all__ = ["clouds"]  # a fixture


@pytest.fixture
def web(clouds: Clouds) -> Iterator[RangeServer]:
    """Where the signed URLs of ``s3://in/`` lead; that bucket has a video."""
    with serve(b"a video") as server:
        bucket = clouds.bucket("s3://in/")
        bucket.base = server.url.partition("?")[0].rpartition("/")[0]
        bucket.write("notes.txt", b"x")
        bucket.write("a.mp4", b"a video")
        yield server


class Service:
    """What ``open_service`` gives: a backend that knows a model, or what goes wrong."""

    def __init__(self) -> None:
        self.fails: ReelrouteError | None = None
        self.describes: tuple[ModelInfo, ...] | ReelrouteError = (
            ModelInfo(ModelRef("oidv4", "1"), TaskType.OBJECT_DETECTION, tuple("abcdefghij")),
        )
        self.home: Path | None = None

    @asynccontextmanager
    async def open(self, *args: Any, home: Path) -> AsyncIterator[tuple[InferenceBackend, str]]:
        self.home = home
        if self.fails:
            raise self.fails
        backend = ScriptedBackend()
        backend.describe = self._describe  # type: ignore[method-assign]
        yield backend, "http://127.0.0.1:9001"

    async def _describe(self, models: tuple[ModelRef, ...]) -> tuple[ModelInfo, ...]:
        if isinstance(self.describes, ReelrouteError):
            raise self.describes
        return self.describes


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service()
    monkeypatch.setattr("tasks.doctor.open_service", service.open)
    return service


def pipeline(**more: Any) -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": "yard",
            "sources": [{"uri": "s3://in/"}],
            "inference": {"backend": "local", "model": "oidv4/1"},
            "routes": [
                {"to": "results", "uri": "gs://out/"},
                {"to": "lightly", "datasource": "az://lightly/", "task_name": "yard"},
            ],
        }
        | more
    )


def look(folder: Path, **more: Any) -> Findings:
    environment = {"REELROUTE_HOME": folder / "home", "REELROUTE_RESULTS_URL": "s3://kept/"}
    settings = Settings.model_validate(environment | more.pop("settings", {}))
    return asyncio.run(examine(pipeline(**more), settings))


def trouble(found: Findings) -> list[tuple[str, str, str, str]]:
    """What is not all right: subject, check, status and code."""
    assert SECRET not in str(found)
    return [(one.subject, one.check, one.status, one.code) for one in found if one.status != "ok"]


def test_all_is_well_and_nothing_is_written(clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path) -> None:
    """Each check says what it saw; no store has an object more, no folder is left."""
    found = look(tmp_path)
    assert [] == trouble(found)
    assert 0 == found.exit_code
    assert [
        ("inference", "service"), ("inference", "model"),
        ("sources[0]", "list"), ("sources[0]", "read"), ("sources[0]", "sign"), ("sources[0]", "lifetime"),
        ("sources[0]", "fetch"),
        ("route results", "write"), ("route lightly", "write"), ("route lightly", "task"), ("results store", "write"),
    ] == [(one.subject, one.check) for one in found]  # fmt: skip
    messages = {one.check: one.message for one in found}
    assert "oidv4/1: object-detection, 10 classes: a, b, c, d, e, f, g, h and 2 more" == messages["model"]
    assert "s3://in/ has a.mp4" == messages["list"]
    assert ["bytes=0-0"] == web.requests
    assert ["a.mp4", "notes.txt"] == [item.key for bucket in clouds.buckets.values() for item in bucket.list()]
    assert service.home is not None
    assert not service.home.exists()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("right", "error", "check"),
    [
        ("read", AccessDenied("no", hint="s3:GetObject"), "read"),
        ("sign", NotSignable("no key"), "sign"),
        ("sign", AccessDenied("signBlob"), "sign"),
    ],
)
def test_a_right_that_a_source_lacks_is_named(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path, right: str, error: ReelrouteError, check: str
) -> None:
    """By the check that fails, with the store's own code and hint; the exit code is that of a refusal."""
    clouds.bucket("s3://in/").refuses[right] = error
    found = look(tmp_path)
    assert [("sources[0]", check, "fail", error.code)] == trouble(found)
    assert 3 == found.exit_code
    assert error.hint in [one.hint for one in found]


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (LocationMissing("there is no bucket in"), 2),
        (InputInvalid("not the bucket's region", hint="set AWS_REGION=eu-west-1"), 2),
        (AccessDenied("the token has expired"), 3),
        (StorageUnavailable("the store does not answer"), 3),
    ],
)
def test_a_source_that_cannot_be_listed_ends_its_own_checks_only(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    error: ReelrouteError, exit_code: int,
) -> None:  # fmt: skip
    """The routes are still looked at."""

    def refuse(prefix: str = "") -> Iterator[Any]:
        raise error

    monkeypatch.setattr(clouds.bucket("s3://in/"), "list", refuse)
    found = look(tmp_path)
    assert [("sources[0]", "list", "fail", error.code)] == trouble(found)
    assert exit_code == found.exit_code
    assert "results store" == found[-1].subject


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [(403, "access_denied", 3), (401, "access_denied", 3), (404, "object_missing", 1), (500, "storage_unavailable", 3)],
)
def test_a_signed_url_that_the_store_refuses_is_told(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path, status: int, code: str, exit_code: int
) -> None:
    """Who signs may lack the right to read; only fetching tells."""
    web.fault = lambda number, start: Fault(status=status)
    found = look(tmp_path)
    assert [("sources[0]", "fetch", "fail", code)] == trouble(found)
    assert exit_code == found.exit_code


def test_a_signed_url_that_leads_nowhere_is_told_without_it(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path
) -> None:
    """httpx has the URL in its own words."""
    clouds.bucket("s3://in/").base = "http://127.0.0.1:1"
    assert [("sources[0]", "fetch", "fail", "storage_unavailable")] == trouble(look(tmp_path))


def test_urls_that_end_early_are_a_warning(clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path) -> None:
    """The run may still go well."""
    clouds.bucket("s3://in/").lifetime = timedelta(hours=1)
    found = look(tmp_path)
    assert [("sources[0]", "lifetime", "warn", "url_ends_early")] == trouble(found)
    assert 0 == found.exit_code


@pytest.mark.parametrize(
    ("exclude", "message"),
    [(["**"], "has no video among its first 2 objects"), (None, "is empty")],
)
def test_a_source_without_videos_is_a_warning(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path, exclude: list[str] | None, message: str
) -> None:
    """There is nothing to read or sign."""
    source = {"uri": "s3://in/", "exclude": exclude} if exclude else {"uri": "s3://empty/"}
    found = look(tmp_path, sources=[source])
    assert [("sources[0]", "list", "warn", "no_videos")] == trouble(found)
    assert message in found[2].message


def test_a_private_store_is_no_use_to_a_hosted_service(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path
) -> None:
    """The URL works here, and nowhere else; a service in the same network is another matter."""
    sources = [{"uri": "s3://in/", "endpoint_url": "http://127.0.0.1:9000"}]
    hosted = {"backend": "roboflow", "model": "football/2"}
    found = look(tmp_path, sources=sources, inference=hosted)
    assert [("sources[0]", "fetch", "fail", "input_invalid")] == trouble(found)
    assert "api.roboflow.com cannot reach 127.0.0.1:9000" in str(found)
    near = {"ROBOFLOW_API_URL": "http://127.0.0.1:9001"}
    assert [] == trouble(look(tmp_path, sources=sources, inference=hosted, settings=near))


@pytest.mark.parametrize("error", [AuthRefused("no key"), ServiceUnavailable("no answer")])
def test_a_service_that_cannot_be_had_does_not_hide_the_rest(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path, error: ReelrouteError
) -> None:
    """Stores are looked at all the same."""
    service.fails = error
    found = look(tmp_path)
    assert [("inference", "service", "fail", error.code)] == trouble(found)
    assert 3 == found.exit_code


def test_a_log_that_goes_with_the_checks_is_not_named(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of it is in the message; its folder is gone when somebody reads that. Other hints stay."""
    homes: list[Path] = []

    @asynccontextmanager
    async def opened(*_: Any, home: Path) -> AsyncIterator[None]:
        homes.append(home)
        if homes:
            raise ServiceUnavailable("it stopped: no room", hint=f"its whole log is in {home}/logs")
        yield

    monkeypatch.setattr("tasks.doctor.open_service", opened)
    (finding,) = [one for one in look(tmp_path) if one.check == "service"]

    assert ("fail", "") == (finding.status, finding.hint)
    assert "no room" in finding.message
    assert not homes[0].exists()


def test_an_unknown_model_is_told(clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path) -> None:
    """The service is there, the model is not."""
    service.describes = ModelUnknown("no such model")
    assert [("inference", "model", "fail", "model_unknown")] == trouble(look(tmp_path))


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("yard/schema.json", '{"task_type": "object-detection", "categories": []}', ""),
        ("yard/schema.json", '{"task_type": "classification", "categories": []}', "delivery_failed"),
        ("yard/schema.json", "no json", "delivery_failed"),
        ("tasks.json", '["yard"]', ""),
        ("tasks.json", "{}", "delivery_failed"),
    ],
)
def test_what_a_lightly_datasource_has_already_must_fit(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path, key: str, text: str, expected: str
) -> None:
    """A task keeps its kind, and its documents have to be readable."""
    clouds.bucket("az://lightly/").write(f".lightly/predictions/{key}", text.encode())
    codes = [("route lightly", "task", "fail", expected)] if expected else []
    assert codes == trouble(look(tmp_path))


def test_a_keypoint_task_that_is_new_says_what_decides_its_keypoints(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path
) -> None:
    """The first video does, unless the route names them."""
    service.describes = (ModelInfo(ModelRef("pose", "1"), TaskType.KEYPOINT_DETECTION),)
    named = {"to": "lightly", "datasource": "az://lightly/", "task_name": "yard", "keypoints": {"dog": ["nose"]}}
    messages = [
        next(one.message for one in look(tmp_path, **more) if one.check == "task") for more in ({}, {"routes": [named]})
    ]
    assert [True, False] == ["`keypoints`" in message for message in messages]


@pytest.mark.parametrize(
    ("token", "expected"),
    [(TOKEN, []), ("wrong", ["auth_refused"]), ("", ["input_invalid"])],
)
def test_the_dataset_of_a_selection_run_is_looked_at(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path, token: str, expected: list[str]
) -> None:
    """With the token that a run would use; nothing is scheduled."""
    wanted = {"dataset_id": DATASET, "selection": {"nSamples": 1}}
    route = {"to": "lightly", "datasource": "az://lightly/", "task_name": "yard", "selection_run": wanted}
    with lightly_server() as server:
        environment = {"LIGHTLY_SERVER_LOCATION": server.url, "LIGHTLY_TOKEN": token}
        found = look(tmp_path, routes=[route], settings=environment)
    assert expected == [one.code for one in found if one.check == "selection" and one.status == "fail"]
    assert expected or any("yard videos" in one.message for one in found)
    assert [] == server.scheduled


def test_a_model_that_lightly_does_not_take_is_told(
    clouds: Clouds, web: RangeServer, service: Service, tmp_path: Path
) -> None:
    """Before a night of inference that the route cannot use."""
    service.describes = (ModelInfo(ModelRef("clip", ""), TaskType.EMBEDDING),)
    assert [("route lightly", "task", "fail", "delivery_failed")] == trouble(look(tmp_path))


def test_a_block_that_is_not_there_ends_the_checks(service: Service, tmp_path: Path, monkeypatch: Any) -> None:
    """Without its credentials nothing could be opened as it is meant to be."""

    async def load(pipeline: Pipeline) -> Any:
        raise InputInvalid("no block", hint="prefect block ls")

    monkeypatch.setattr("tasks.doctor.load_credentials", load)
    found = look(tmp_path)
    assert [Finding("credentials", "load", "fail", "no block", "input_invalid", "prefect block ls", 2)] == found


def test_local_files_are_given_out_or_uploaded(service: Service, tmp_path: Path) -> None:
    """Without a service that signs them there is no URL to try."""
    (tmp_path / "v.mp4").write_bytes(b"x")
    places = {"sources": [{"uri": str(tmp_path)}], "routes": [{"to": "results", "uri": str(tmp_path / "out")}]}
    found = look(tmp_path, **places, settings={"REELROUTE_RESULTS_URL": str(tmp_path / "kept")})
    assert [] == trouble(found)
    assert "local files are uploaded to the service" in [one.message for one in found]
    assert ["v.mp4"] == [path.name for path in tmp_path.iterdir()]
