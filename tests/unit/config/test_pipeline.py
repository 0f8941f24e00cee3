"""The models: what is taken, and with which meaning."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.budget import Budget
from config.pipeline import Inference, Pipeline, Source


def inference(**settings: Any) -> Inference:
    return Inference.model_validate({"backend": "local", "model": "oidv4/1"} | settings)


def refusal(model: type[Source | Inference | Budget | Pipeline], settings: dict[str, Any]) -> tuple[object, str]:
    """The place and the words of the one error that the settings get."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(settings)
    (error,) = (error for error in caught.value.errors() if error["type"] != "default_factory_not_called")
    return error["loc"][-1] if error["loc"] else "", error["msg"]


def test_the_least_that_a_pipeline_needs() -> None:
    """Everything else has a default."""
    pipeline = Pipeline.model_validate(
        {
            "name": "yard-2",
            "sources": [{"uri": "/videos"}],
            "inference": {"backend": "roboflow", "model": "football-players/2"},
            "routes": [{"to": "results", "uri": "/out"}],
        }
    )
    wanted = pipeline.inference
    assert (("results",), Budget()) == (tuple(route.name for route in pipeline.routes), pipeline.budget)
    assert (5.0, None, 50) == (wanted.fps, wanted.confidence, wanted.max_in_flight)
    assert (timedelta(days=1), timedelta(hours=6)) == (wanted.url_lifetime, wanted.deadline)
    assert ((), (), None) == (pipeline.sources[0].include, pipeline.sources[0].exclude, pipeline.sources[0].min_size)


@pytest.mark.parametrize(
    "fps", [1e-7, 5e-324, 0, -5, 0.99, 120.5, 1e308, float("nan"), float("inf"), -float("inf"), True]
)
def test_a_frame_rate_that_no_service_takes_is_refused(fps: float) -> None:
    """Before anything runs: from 1 to 120."""
    assert "fps" == refusal(Inference, {"backend": "local", "model": "oidv4/1", "fps": fps})[0]


def test_nothing_changes_once_read() -> None:
    """Steps can share a pipeline."""
    with pytest.raises(ValidationError, match="frozen"):
        inference().fps = 3  # type: ignore[misc]


@pytest.mark.parametrize(("backend", "expected"), [("roboflow", 60), ("local", 1)])
def test_the_poll_interval_depends_on_the_backend(backend: str, expected: int) -> None:
    """Roboflow asks for a minute; our own service does not mind."""
    assert timedelta(seconds=expected) == inference(backend=backend).poll_interval
    assert timedelta(seconds=7) == inference(backend=backend, poll_interval="7s").poll_interval


@pytest.mark.parametrize("backend", ["frames", "roboflow-batch"])
def test_backends_to_come_are_refused_as_such(backend: str) -> None:
    """They are known words, and not available."""
    assert ("backend", "is not available in this version") == refusal(Inference, {"backend": backend, "model": "a/1"})


@pytest.mark.parametrize("model", ["oidv4/1", "football-players-detection-3zvbc/12", "A_b/3"])
def test_models_are_a_slug_and_a_version(model: str) -> None:
    """As Roboflow writes them."""
    assert model == inference(model=model).model


@pytest.mark.parametrize(
    "model",
    [
        "",
        "oidv4",
        "oidv4/",
        "/1",
        "oidv4/v1",
        "oidv4/0",
        "oidv4/-1",
        "oidv4/²",
        "a b/1",
        "ws/oidv4/1",
        "best.pt",
        "clip/1/2",
    ],
)
def test_what_is_no_model_is_refused(model: str) -> None:
    """Before a service is asked for it."""
    assert ("model", "is not a model") == refusal(Inference, {"backend": "local", "model": model})


@pytest.mark.parametrize("text", ["models/yard.onnx", "./models/yard.onnx", "x/../models/yard.onnx"])
def test_a_model_file_is_relative_to_the_working_directory(here: Path, text: str) -> None:
    """And absolute once read, so that another process means the same file."""
    assert str(here / "models/yard.onnx") == inference(model=text).model


def test_a_model_file_cannot_go_to_the_hosted_service() -> None:
    """Roboflow runs what it trained."""
    key, message = refusal(Inference, {"backend": "roboflow", "model": "yard.onnx"})
    assert ("model", "is a file, which only `backend: local` runs") == (key, message)


def test_additional_models_run_beside_the_first(here: Path) -> None:
    """In their order; files too, where files can run."""
    assert ("clip", "gaze", "b/2") == inference(
        backend="roboflow", additional_models=["clip", "gaze", "b/2"]
    ).additional_models
    assert (f"{here}/b.onnx",) == inference(additional_models=["b.onnx"]).additional_models


@pytest.mark.parametrize("models", [["oidv4/2"], ["b/1", "b/2"], ["b/1", "b/1"]])
def test_a_project_cannot_run_in_two_versions(models: list[str]) -> None:
    """Results are keyed by project: the versions' results would be one another's."""
    key, message = refusal(Inference, {"backend": "roboflow", "model": "oidv4/1", "additional_models": models})
    assert ("additional_models", True) == (key, message.startswith("one project twice"))


@pytest.mark.parametrize("model", ["clip", "gaze"])
def test_foundation_models_run_at_roboflow_only(model: str) -> None:
    """The embedded engine has none."""
    assert model == inference(backend="roboflow", model=model).model
    assert "Roboflow only" in refusal(Inference, {"backend": "local", "model": model})[1]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fps", 1), ("fps", 120), ("fps", 29.97), ("fps", "5"),
        ("confidence", 0), ("confidence", 1), ("confidence", "0.5"),
        ("max_in_flight", 1), ("submits_per_second", 0.01),
        ("url_lifetime", "7d"), ("url_lifetime", "168h"),
        ("deadline", "2s"),
    ],
)  # fmt: skip
def test_bounds_are_allowed(key: str, value: object) -> None:
    """The last value that can be, is; numbers may come as text, as they do from variables."""
    assert getattr(inference(**{key: value}), key) is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fps", 0), ("fps", 0.99), ("fps", 120.5), ("fps", -1),
        ("fps", True), ("fps", "five"), ("fps", float("nan")), ("fps", None),
        ("confidence", -0.1), ("confidence", 1.1), ("confidence", 40), ("confidence", True), ("confidence", "40%"),
        ("max_in_flight", 0), ("max_in_flight", 1.5), ("max_in_flight", True),
        ("submits_per_second", 0), ("submits_per_second", 1e-7),
        ("url_lifetime", "8d"), ("url_lifetime", "0s"), ("url_lifetime", 3600),
        ("poll_interval", "0s"), ("poll_interval", 60),
        ("deadline", "0s"), ("deadline", "1s"), ("deadline", "1"),
        ("additional_models", "clip"), ("fsp", 5),
    ],
)  # fmt: skip
def test_impossible_values_are_refused(key: str, value: object) -> None:
    """At the key that has them."""
    assert key == refusal(Inference, {"backend": "roboflow", "model": "a/1", "poll_interval": "1s"} | {key: value})[0]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"include": []}, "include"),
        ({"include": "**/*.mp4"}, "include"),
        ({"exclude": ["a", "/b"]}, 1),
        ({"modified_within": "0s"}, "modified_within"),
        ({"min_size": 5}, "min_size"),
        ({"min_size": "2MB", "max_size": "1MB"}, "max_size"),
        ({"credentials": "prod-aws"}, "credentials"),
        ({"endpoint_url": "http://127.0.0.1:9000"}, "endpoint_url"),
        ({"account": "acme"}, "account"),
    ],
)
def test_impossible_sources_are_refused(settings: dict[str, Any], key: object) -> None:
    """Also what means nothing to a folder."""
    assert key == refusal(Source, {"uri": "/videos"} | settings)[0]


def test_a_source_reads_sizes_ages_and_globs() -> None:
    """In their units."""
    source = Source.model_validate(
        {
            "uri": "/v",
            "include": ["*.mp4"],
            "modified_within": "36h",
            "min_size": "10MB",
            "max_size": "10MB",
            "endpoint_url": None,
        }
    )
    assert (("*.mp4",), timedelta(hours=36), 10_000_000) == (source.include, source.modified_within, source.max_size)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("credentials", "AKIA/wJalrXUtnFEMI"),
        ("endpoint_url", "https://key:wJalrXUtnFEMI@host"),
        ("endpoint_url", "host?sig=wJalrXUtnFEMI"),
        ("account", "wJalrXUtnFEMI=="),
    ],
)
def test_a_key_pasted_into_the_wrong_place_is_not_shown(key: str, value: str) -> None:
    """The message says what belongs there."""
    with pytest.raises(ValidationError) as caught:
        Source.model_validate({"uri": "az://c/", key: value})
    assert "wJalr" not in str(caught.value)
    assert caught.value.errors()[0]["ctx"]["hide"]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"max_videos": 0}, "max_videos"),
        ({"max_video_minutes": 0}, "max_video_minutes"),
        ({"cost_per_1000_frames": -1}, "cost_per_1000_frames"),
        ({"max_cost": 40}, "max_cost"),
        ({"max_cost": 0, "cost_per_1000_frames": 1}, "max_cost"),
    ],
)
def test_impossible_budgets_are_refused(settings: dict[str, Any], key: str) -> None:
    """A limit of nothing is a mistake; so is a cost that cannot be estimated."""
    assert key == refusal(Budget, settings)[0]


def test_a_cost_needs_a_price() -> None:
    """With one, it is taken."""
    assert 40 == Budget.model_validate({"max_cost": 40, "cost_per_1000_frames": 0.2}).max_cost


@pytest.mark.parametrize("name", ["", "Yard", "a b", "a_b", "ä", "a\n", "a/b"])
def test_a_pipeline_has_a_plain_name(name: str) -> None:
    """It becomes a file's and a folder's name."""
    settings = {
        "sources": [{"uri": "/v"}],
        "inference": {"backend": "local", "model": "a/1"},
        "routes": [{"to": "video", "uri": "/o"}],
    }
    assert ("name", "is not a name for a pipeline") == refusal(Pipeline, {"name": name} | settings)


def test_parts_that_do_not_fit_are_refused_in_python_too() -> None:
    """Not only the reader of files looks at the whole."""
    settings = {
        "name": "a",
        "sources": [{"uri": "/v"}],
        "inference": {"backend": "local", "model": "a/1"},
        "routes": [{"to": "video", "uri": "/v/annotated"}],
    }
    assert "as new videos" in refusal(Pipeline, settings)[1]
