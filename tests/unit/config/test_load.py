"""Finding a pipeline file, and hearing of every mistake in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.load import PIPELINES, find_pipeline, load_pipeline
from config.pipeline import Pipeline
from config.problems import PipelineInvalid, Problem
from config.routes import LabelboxRoute, LightlyRoute, ResultsRoute, VideoRoute
from tasks.domain.errors import InputInvalid
from tests.unit.config.conftest import Load, Mistakes

NO_UPLOAD = "upload to Labelbox model runs is not available in this version; use `upload: false` with `uri:`"


def blocks(problems: tuple[Problem, ...]) -> list[str]:
    """The first line of each problem, without the file."""
    return [str(problem).splitlines()[0].removeprefix("yard.yaml:") for problem in problems]


# --- the demo ----------------------------------------------------------------------------------


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


# --- a file --------------------------------------------------------------------------------------


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


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(mistakes: Mistakes) -> None:
    """One round of corrections, not ten."""
    problems = mistakes(
        """
        name: Football
        sources:
          - uri: s33://match-archive/
            include: "**/*.mp4"
            modified_within: 36 hours
            min_size: 10mb
            api_key: hunter2
          - {uri: ./x, includ: [a]}
          - uri: y
        inference:
          backend: frames
          model: ws/football/2
          fsp: 5
          fps: 1:30
          confidence: yes
          deadline: $NOPE
          poll_interval: 1s
          poll_interval: 2s
        budget: {max_cost: 3}
        routes:
          - {to: lightli, datasource: a}
          - {to: labelbox, dataset: football, model_run: "{day}"}
          - {to: video, uri: y/annotated}
          - uri: d
          - {to: results, uri: gcs://a}
          - {to: results, uri: o}
          - {to: results, uri: o}
        """
    )
    assert [
        "2: name: 'Football' is not a name for a pipeline",
        "4: sources[0].uri: 's33://match-archive/' is not in a kind of store that reelroute knows; did you mean 's3://…'?",
        "5: sources[0].include: '**/*.mp4' is not a list",
        "6: sources[0].modified_within: '36 hours' is not a duration",
        "7: sources[0].min_size: '10mb' has an unknown unit; did you mean '10MB'?",
        "8: sources[0].api_key: 'api_key' looks like a secret, and secrets do not belong in a file",
        "9: sources[1].includ: unknown key 'includ'; did you mean 'include'?",
        "12: inference.backend: 'frames' is not available in this version",
        "13: inference.model: 'ws/football/2' is not a model; did you mean 'football/2'?",
        "14: inference.fsp: unknown key 'fsp'; did you mean 'fps'?",
        "15: inference.fps: '1:30' is 90 to YAML; write a plain number, or put it in quotes",
        "16: inference.confidence: 'yes' is not a number",
        "17: inference.deadline: the environment variable NOPE is not set",
        "19: inference.poll_interval: 'poll_interval' is here again; the first is on line 18",
        "20: budget.max_cost: 'max_cost' needs 'cost_per_1000_frames' to estimate with",
        "22: routes[0].to: 'lightli' is not a kind of route; did you mean 'lightly'?",
        f"23: routes[1].upload: {NO_UPLOAD}",
        "23: routes[1].model_run: '{day}' has the unknown placeholder 'day'",
        "24: routes[2].uri: the copies would be found by sources[2] as new videos, and paid for",
        "25: routes[3].to: 'to' is missing",
        "26: routes[4].uri: 'gcs://a' is not in a kind of store that reelroute knows; did you mean 'gs://…'?",
        "28: routes[6].uri: routes[5] writes to the same place; each would undo the other",
    ] == blocks(problems)
    assert "hunter2" not in repr(problems)
    without = {problem.field for problem in problems if not problem.allowed}
    assert {"inference.fps", "inference.deadline", "inference.poll_interval", "routes[6].uri"} == without


@pytest.mark.parametrize(
    ("old", "new", "expected", "allowed"),
    [
        ("name: yard\n", "", "1: name: 'name' is missing", "lower-case letters, digits and '-'"),
        ("name: yard", "name: 2026", "1: name: '2026' is not text; put it in quotes", "lower-case"),
        ("name: yard", "name: 2026-01-01", "1: name: '2026-01-01' is not text; put it in quotes", "lower-case"),
        ("name: yard", "name: a\nroute: []", "2: route: unknown key 'route'; did you mean 'routes'?", "budget, inf"),
        (
            "- uri: /videos",
            "- include: ['*']",
            "3: sources[0].uri: 'uri' is missing",
            "file:///folder, s3://bucket/prefix",
        ),
        ("  - uri: /videos", "  []", "3: sources: this list is empty", "a list of sources"),
        ("- uri: /videos", "- /videos", "3: sources[0]: '/videos' is not a group of keys", "a list of sources"),
        ("- uri: /videos", "uri: /videos", "3: sources: this group of keys is not a list", "a list of sources"),
        ("- uri: /videos", "- uri:", "3: sources[0].uri: has no value: give one, or leave the key out", "a path"),
        ("- uri: /videos", "- uri: [/v]", "3: sources[0].uri: this list is not text; put it in quotes", "a path"),
        ("backend: local", "model: b/1", "5: inference.backend: 'backend' is missing", "roboflow, local"),
        ("model: oidv4/1", "fps: 5", "5: inference.model: 'model' is missing", "project-slug/version"),
        ("inference:", "inference: 5\nx:", "4: inference: '5' is not a group of keys", "the keys of inference"),
    ],
)
def test_each_mistake_has_its_words(
    mistakes: Mistakes, sound: str, old: str, new: str, expected: str, allowed: str
) -> None:
    """Line, key, what is wrong, what was meant; and what is allowed."""
    expect(mistakes(sound.replace(old, new)), expected, allowed)


@pytest.mark.parametrize(
    ("line", "expected", "allowed"),
    [
        ("fps: 200", "fps: '200' is too high", "from 1 to 120"),
        ("fps: 0", "fps: '0' is too low", "from 1 to 120"),
        ("fps: .inf", "fps: '.inf' is not a number", "from 1 to 120"),
        ("fps: [5]", "fps: this list is not a number", "from 1 to 120"),
        ("fps: five", "fps: 'five' is not a number", "from 1 to 120"),
        ("fps:", "fps: has no value: give one, or leave the key out", "from 1 to 120"),
        ("fsp: 5", "fsp: unknown key 'fsp'; did you mean 'fps'?", "backend, confidence"),
        ("model_id: 2", "model_id: unknown key 'model_id'; did you mean 'model'?", "backend, confidence"),
        ("max_in_flight: 1.5", "max_in_flight: '1.5' is not a whole number", "a whole number from 1 up"),
        ("url_lifetime: 8d", "url_lifetime: '8d' is too high", "at most 7d"),
        ("url_lifetime: 60", "url_lifetime: '60' has no unit", "90s, 15m"),
        ("poll_interval: 0s", "poll_interval: '0s' is too short", "longer than nothing"),
        (
            "deadline: 1s",
            "deadline: '1s' is no longer than poll_interval, so no job would be seen to finish",
            "longer than poll_interval",
        ),
        ("additional_models: clip", "additional_models: 'clip' is not a list", "each project once"),
    ],
)
def test_each_mistake_of_inference_has_its_words(
    mistakes: Mistakes, sound: str, line: str, expected: str, allowed: str
) -> None:
    """At the line that was added."""
    text = sound.replace("model: oidv4/1", f"model: oidv4/1\n  {line}")
    expect(mistakes(text), f"7: inference.{expected}", allowed)


@pytest.mark.parametrize(
    ("route", "expected", "allowed"),
    [
        (
            "to: results, uri: /o, formats: [jsn]",
            "formats[0]: 'jsn' is not one of the allowed values; did you mean 'json'?",
            "json, parquet",
        ),
        ("to: results", "uri: 'uri' is missing", "a path; may hold {date} and {pipeline}"),
        ("to: labelbox, upload: no", "uri: 'uri' is missing: `upload: false` writes files there", "a path"),
        ("to: labelbox, upload: maybe, uri: /o", "upload: 'maybe' is not true or false", "false"),
        ("to: labelbox, upload: no, uri: /o, classes: [a]", "classes: this list is not a group of keys", "each with"),
        (
            "to: labelbox, upload: no, uri: /o, model_run: {date}",
            "model_run: this group of keys is not text; put it in quotes",
            "text; may hold",
        ),
        ("to: lightly, datasource: /o, task_name: a b", "task_name: 'a b' is not a name for a task", "letters"),
        ("to: 5, uri: /out", "to: '5' is not a kind of route", "results, lightly, labelbox, video"),
        ("to: , uri: /out", "to: '' is not a kind of route", "results, lightly, labelbox, video"),
    ],
)
def test_each_mistake_of_a_route_has_its_words(
    mistakes: Mistakes, sound: str, route: str, expected: str, allowed: str
) -> None:
    """At the route's line."""
    expect(mistakes(sound.replace("to: results, uri: /out", route)), f"8: routes[0].{expected}", allowed)


def expect(problems: tuple[Problem, ...], expected: str, allowed: str) -> None:
    """One of the problems has these words, and says that this is allowed."""
    assert expected in blocks(problems)
    assert allowed in problems[blocks(problems).index(expected)].allowed


@pytest.mark.parametrize("classes", ['{"": a}', '{a: ""}', "{a: }", "{a: [b]}"])
def test_a_wrong_name_of_a_class_is_told_at_its_line(mistakes: Mistakes, sound: str, classes: str) -> None:
    """Also where the key is what is wrong."""
    (problem,) = mistakes(sound.replace("results, uri", f"labelbox, upload: no, classes: {classes}, uri"))
    assert (8, True) == (problem.line, problem.field.startswith("routes[0].classes."))
    assert "[key]" not in problem.field


def test_keys_are_shown_harmlessly(mistakes: Mistakes, sound: str) -> None:
    """No control character of a file reaches the terminal."""
    (problem,) = mistakes(sound + '"a\\e[31m": 1\n')
    assert "9: a\\x1b[31m: unknown key 'a\\x1b[31m'" == blocks((problem,))[0]


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5s", "a/1", "$A"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data(), junk=JUNK)
@settings(max_examples=100, deadline=None)
def test_no_value_anywhere_is_more_than_a_mistake(data: st.DataObject, junk: object) -> None:
    """Whatever stands in place of any value of a sound file, it is taken or told with a line of the file."""
    tree = yaml.safe_load((PIPELINES / "demo.yaml").read_text(encoding="utf-8"))
    parent, key = data.draw(st.sampled_from(list(places(tree))))
    parent[key] = junk
    raw = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    assert all(1 <= line <= raw.count(b"\n") + 1 for line in lines_told(raw))


@given(data=st.data(), junk=st.binary(max_size=4))
@settings(max_examples=100, deadline=None)
def test_no_damage_to_a_file_is_more_than_a_mistake(data: st.DataObject, junk: bytes) -> None:
    """Bytes lost, changed or added anywhere."""
    raw = (PIPELINES / "demo.yaml").read_bytes()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 40)))
    damaged = raw[:start] + junk + raw[end:]
    assert all(1 <= line <= damaged.count(b"\n") + 1 for line in lines_told(damaged))


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of a tree, as what holds it and its key there."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, dict | list):
            yield from places(value)


def lines_told(raw: bytes) -> list[int]:
    """The lines of a file's mistakes; none if it is sound."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.yaml"
        file.write_bytes(raw)
        try:
            load_pipeline(str(file), env={})
        except PipelineInvalid as error:
            return [problem.line for problem in error.problems] or [0]
    return []


def test_a_problem_has_its_parts_for_machines(mistakes: Mistakes, sound: str) -> None:
    """What --json prints needs no parsing."""
    (problem,) = mistakes(sound.replace("backend: local", "backend: lokal"))
    assert ("yard.yaml", 5, 12) == (problem.file, problem.line, problem.column)
    assert ("inference.backend", "lokal") == (problem.field, problem.value)
    assert ("local", "roboflow, local") == (problem.suggestion, problem.allowed)


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
    assert "name, sources, inference, budget, routes" == problems[0].allowed


def test_a_file_of_the_wrong_indentation_is_told_with_the_line(mistakes: Mistakes, sound: str) -> None:
    """And nothing else is said of it."""
    (problem,) = mistakes(sound.replace("  model:", "\tmodel:"))
    assert (6, "spaces to indent with, not tabs") == (problem.line, problem.allowed)


def test_a_sound_file_with_a_key_given_twice_is_refused(mistakes: Mistakes, sound: str) -> None:
    """Also when either would do."""
    assert ["9: name: 'name' is here again; the first is on line 1"] == blocks(mistakes(sound + "name: other\n"))


def test_what_came_from_the_environment_is_not_shown(mistakes: Mistakes, sound: str) -> None:
    """A value is shown as written, not as filled in: the variable may be somebody's key."""
    env = {"FPS": "hunter2", "URI": "https://x/o?X-Amz-Signature=hunter2", "TO": "hunter2"}
    text = sound.replace("/videos", "$URI").replace("to: results", "to: $TO").replace("oidv4/1", "oidv4/1\n  fps: $FPS")
    problems = mistakes(text, env)
    assert [
        "3: sources[0].uri: the value is not in a kind of store that reelroute knows",
        "7: inference.fps: '$FPS' is not a number",
        "9: routes[0].to: '$TO' is not a kind of route",
    ] == blocks(problems)
    assert "hunter2" not in repr(problems)


@pytest.mark.parametrize("uri", ["s3://AKIA:hunter2@bucket/", "https://b/o?sig=hunter2", "HTTPS://b/o?sig=hunter2"])
def test_a_key_in_a_uri_is_not_shown(mistakes: Mistakes, sound: str, uri: str) -> None:
    """Neither in the text nor in the parts."""
    problems = mistakes(sound.replace("/videos", uri))
    assert ["sources[0].uri"] == [problem.field for problem in problems]
    assert "hunter2" not in repr(problems)


def test_parts_with_unset_variables_are_in_no_conflict(mistakes: Mistakes, sound: str) -> None:
    """What they would have been is not known."""
    text = sound + "  - {to: results, uri: $A/out}\n  - {to: results, uri: $B/out}\n"
    assert [
        "9: routes[1].uri: the environment variable A is not set",
        "10: routes[2].uri: the environment variable B is not set",
    ] == blocks(mistakes(text))


def test_the_documented_file_of_the_future_is_refused_for_what_is_not_there_yet(mistakes: Mistakes) -> None:
    """Every key of it is known; only the upload is missing."""
    problems = mistakes(
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
    assert ["routes[1].upload"] == [problem.field for problem in problems]
    assert all("not available in this version" in problem.message for problem in problems)


# --- finding it --------------------------------------------------------------------------------


@pytest.fixture
def folders(here: Path, sound: str) -> Path:
    """A project's folder with two pipelines, and the working directory's own with two others."""
    for name in (
        "project/pipelines/night.yaml",
        "project/pipelines/day.yml",
        "config/pipelines/mine.yaml",
        "config/pipelines/day.yaml",
    ):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(sound, encoding="utf-8")
    return here / "project" / "pipelines"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("night", "project/pipelines/night.yaml"),
        ("night.yaml", "project/pipelines/night.yaml"),
        ("night.yml", "project/pipelines/night.yaml"),
        ("mine", "config/pipelines/mine.yaml"),
        ("day", "config/pipelines/day.yaml"),
        ("./project/pipelines/day.yml", "project/pipelines/day.yml"),
        ("project/pipelines/night.yaml", "project/pipelines/night.yaml"),
    ],
)
def test_a_pipeline_is_a_path_or_a_name(folders: Path, here: Path, name: str, expected: str) -> None:
    """The working directory's own pipelines come before the project's."""
    assert here / expected == find_pipeline(name, folder=folders).absolute()


def test_a_file_name_means_the_file_that_is_here(folders: Path, here: Path, sound: str) -> None:
    """What `ls` shows comes before what is in folders of pipelines."""
    (here / "night.yaml").write_text(sound, encoding="utf-8")
    assert here / "night.yaml" == find_pipeline("night.yaml", folder=folders).absolute()
    assert folders / "night.yaml" == find_pipeline("night", folder=folders)


@pytest.mark.parametrize(
    ("name", "meant"), [("nigth", "night"), ("mine2", "mine"), ("nigth.yaml", "night"), ("./nigth.yaml", "night")]
)
def test_an_unknown_name_gets_the_nearest_one(folders: Path, name: str, meant: str) -> None:
    """And the list of all."""
    with pytest.raises(InputInvalid, match="there is no pipeline") as caught:
        find_pipeline(name, folder=folders)
    assert f"did you mean '{meant}'?" in caught.value.hint
    assert "known pipelines: day, mine, night" in caught.value.hint


@pytest.mark.parametrize("name", ["", "zzz", "a\0b", "../x", "a\nb", "é", "x" * 5000, "/", ".", "~nosuchuser/x"])
def test_nonsense_is_no_pipeline(folders: Path, name: str) -> None:
    """Whatever is typed, it is a mistake of input and no crash."""
    with pytest.raises(InputInvalid, match="there is no pipeline"):
        load_pipeline(name, folder=folders)


def test_a_folder_is_no_pipeline(folders: Path) -> None:
    """Not even the folder of pipelines."""
    with pytest.raises(InputInvalid, match="there is no pipeline file"):
        load_pipeline(f"{folders}/", folder=folders)


def test_no_pipelines_at_all_is_said(here: Path) -> None:
    """Rather than an empty list."""
    with pytest.raises(InputInvalid) as caught:
        find_pipeline("a", folder=here)
    assert "there are no pipelines" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said(here: Path, sound: str) -> None:
    """With the system's own reason."""
    (here / "a.yaml").write_text(sound, encoding="utf-8")
    (here / "a.yaml").chmod(0)
    with pytest.raises(InputInvalid, match=r"cannot read a\.yaml: Permission denied"):
        load_pipeline("a.yaml")


def test_files_are_named_as_one_would_open_them(
    folders: Path, here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Relative below the working directory, absolute elsewhere."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "b.yaml"
    elsewhere.write_text("a: 1", encoding="utf-8")
    (folders / "night.yaml").write_text("a: 1", encoding="utf-8")
    named = []
    for name in ("night", str(elsewhere)):
        with pytest.raises(PipelineInvalid) as caught:
            load_pipeline(name, folder=folders)
        named.append(caught.value.problems[0].file)
    assert ["project/pipelines/night.yaml", str(elsewhere)] == named
