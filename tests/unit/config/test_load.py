"""Loading a pipeline file: the demo, one with every section, and files that are wrong as a whole."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from config.load import PIPELINES, load_pipeline
from config.pipeline import Pipeline
from config.routes import LabelboxRoute, LightlyRoute, ResultsRoute, VideoRoute
from tests.unit.config.conftest import Load, Mistakes, blocks

# --- the demo --------------------------------------------------------------------------------


def test_the_demo_has_no_mistakes(here: Path) -> None:
    """It runs the bundled model here and delivers to every kind of route."""
    demo = load_pipeline("demo", env={})
    assert ("demo", "local", "oidv4/1") == (demo.name, demo.inference.backend, demo.inference.model)
    assert (5.0, 0.35) == (demo.inference.fps, demo.inference.confidence)
    assert [ResultsRoute, LightlyRoute, LabelboxRoute, VideoRoute] == [type(route) for route in demo.routes]
    assert ["results", "lightly", "labelbox", "video"] == [route.name for route in demo.routes]
    assert f"file://{here}/demo-out/footage/" == demo.sources[0].uri


def test_the_demo_goes_where_the_environment_says() -> None:
    """`reelroute demo --out DIR` sets these two."""
    demo = load_pipeline("demo", env={"REELROUTE_DEMO_FOOTAGE": "/f", "REELROUTE_DEMO_OUT": "/o"})
    results, lightly, labelbox, video = demo.routes
    assert isinstance(results, ResultsRoute)
    assert isinstance(lightly, LightlyRoute)
    assert isinstance(labelbox, LabelboxRoute)
    assert isinstance(video, VideoRoute)
    assert "file:///f/" == demo.sources[0].uri
    assert ["results", "lightly", "labelbox", "annotated"] == [
        str(uri).removeprefix("file:///o/").rstrip("/")
        for uri in (results.uri, lightly.datasource, labelbox.uri, video.uri)
    ]


@pytest.mark.parametrize("file", sorted(PIPELINES.glob("*.y*ml")), ids=lambda file: file.name)
def test_every_file_that_comes_with_the_project_is_sound(file: Path, here: Path) -> None:
    """Examples are copied, mistakes and all. Their names are unique words for the ledger."""
    assert file.stem == load_pipeline(str(file), env={}).name


# --- a file ----------------------------------------------------------------------------------


def test_everything_at_once(load: Load, here: Path) -> None:
    """A file with every section, in YAML's own styles."""
    pipeline = load(
        """
        name: football-nightly
        sources:
          - uri: file:///archive/2026
            include: ["**/*.mp4", "**/*.mov"]
            exclude: ["**/drafts/**"]
            modified_within: 36h
            min_size: 10MB
            endpoint_url: null
        inference:
          backend: $BACKEND
          model: football/2
          additional_models: [clip]
          fps: ${FPS:-5}
          confidence: "0.4"
          poll_interval: 90s
        budget: {max_videos: 500, max_video_minutes: 3000, cost_per_1000_frames: 0.2, max_cost: 40}
        routes:
          - &out {to: results, uri: "out/{pipeline}/{date}"}
          - {<<: *out, name: table, formats: [parquet], uri: tables}
        """,
        {"BACKEND": "roboflow"},
    )
    assert isinstance(pipeline, Pipeline)
    assert (5.0, 0.4, timedelta(seconds=90)) == (
        pipeline.inference.fps,
        pipeline.inference.confidence,
        pipeline.inference.poll_interval,
    )
    first, second = pipeline.routes
    assert isinstance(first, ResultsRoute)
    assert isinstance(second, ResultsRoute)
    assert f"file://{here}/out/{{pipeline}}/{{date}}/" == first.uri
    assert ("results", "table", ("parquet",)) == (first.name, second.name, second.formats)
    assert 40 == pipeline.budget.max_cost


def test_variables_come_from_the_process_by_default(here: Path, sound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell would have it."""
    monkeypatch.setenv("YARD", "/from-env")
    (here / "a.yaml").write_text(sound.replace("/videos", "$YARD"), encoding="utf-8")
    assert "file:///from-env/" == load_pipeline("a.yaml").sources[0].uri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: the file is empty"),
        ("# later\n", "1: the file is empty"),
        ("null\n", "1: the file is empty"),
        ("- name: yard\n", "1: a pipeline file is a group of keys"),
        ("yard\n", "1: a pipeline file is a group of keys"),
    ],
)
def test_a_file_that_holds_no_keys_is_told(mistakes: Mistakes, text: str, expected: str) -> None:
    """With the keys that it needs."""
    problems = mistakes(text)
    assert [expected] == blocks(problems)
    assert "name, sources, inference, budget, schedule, routes" == problems[0].allowed


def test_a_file_of_the_wrong_indentation_is_told_with_the_line(mistakes: Mistakes, sound: str) -> None:
    """And nothing else is said of it."""
    (problem,) = mistakes(sound.replace("  model:", "\tmodel:"))
    assert (6, "spaces to indent with, not tabs") == (problem.line, problem.allowed)


def test_a_sound_file_with_a_key_given_twice_is_refused(mistakes: Mistakes, sound: str) -> None:
    """Also when either would do."""
    assert ["9: name: 'name' is here again; the first is on line 1"] == blocks(mistakes(sound + "name: other\n"))


def test_the_documented_file_loads(load: Load) -> None:
    """Every cloud and every route of it is there."""
    pipeline = load(
        """
        name: football-nightly
        sources:
          - uri: s3://match-archive/2026/
            include: ["**/*.mp4", "**/*.mov"]
            exclude: ["**/drafts/**"]
            modified_within: 36h
            credentials: prod-aws
            endpoint_url: null
        inference:
          backend: roboflow
          model: football-players-detection-3zvbc/2
          additional_models: [clip]
          fps: 5
          confidence: 0.4
          url_lifetime: 24h
          max_in_flight: 50
          poll_interval: 60s
          deadline: 6h
        budget: {max_videos: 500, max_video_minutes: 3000, cost_per_1000_frames: 0.2, max_cost: 40}
        routes:
          - {to: results,  uri: s3://match-archive-out/results/, formats: [json, parquet]}
          - {to: labelbox, dataset: d, ontology: football, model: players, model_run: "{date}", min_confidence: 0.4}
          - {to: lightly,  datasource: s3://match-archive-out/lightly/, task_name: football-players, fill: none}
          - {to: video,    uri: s3://match-archive-out/annotated/}
        """
    )
    assert ["results", "labelbox", "lightly", "video"] == [route.to for route in pipeline.routes]
