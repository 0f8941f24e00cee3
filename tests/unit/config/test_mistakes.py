"""Hearing of every mistake in a pipeline file: its line, its words, what is allowed, and no secret."""

from __future__ import annotations

import pytest

from config.problems import Problem
from tests.unit.config.conftest import Mistakes, blocks

INCOMPLETE = "is missing: an upload needs dataset, ontology, model and model_run"


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
        f"23: routes[1].ontology: 'ontology' {INCOMPLETE}",
        f"23: routes[1].model: 'model' {INCOMPLETE}",
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
            "needed for an upload; may hold",
        ),
        ("to: lightly, datasource: /o, task_name: a b", "task_name: 'a b' is not a name for a task", "letters"),
        (
            "to: lightly, datasource: /o, task_name: t, selection_run: {dataset_id: yard, selection: {}}",
            "selection_run.dataset_id: 'yard' is not the id of a dataset",
            "24 hexadecimal digits",
        ),
        (
            "to: lightly, datasource: /o, task_name: t, selection_run: {dataset: yard, selection: {}}",
            "selection_run.dataset: unknown key 'dataset'; did you mean 'dataset_id'?",
            "dataset_id, priority, runs_on, selection, worker",
        ),
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


def test_a_problem_has_its_parts_for_machines(mistakes: Mistakes, sound: str) -> None:
    """What --json prints needs no parsing."""
    (problem,) = mistakes(sound.replace("backend: local", "backend: lokal"))
    assert ("yard.yaml", 5, 12) == (problem.file, problem.line, problem.column)
    assert ("inference.backend", "lokal") == (problem.field, problem.value)
    assert ("local", "roboflow, local") == (problem.suggestion, problem.allowed)


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
