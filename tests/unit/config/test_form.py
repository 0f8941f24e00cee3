"""Forms: flat fields become a pipeline, and mistakes are told as a pipeline file's are."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.form import Form, pipeline_from_text, pipeline_text
from config.problems import PipelineInvalid
from tasks.domain.errors import InputInvalid


def form(**values: object) -> Form:
    filled: dict[str, object] = {"source": "s3://bucket/2026/", "model": "players/2", "results": "s3://out/"}
    return Form(**(filled | values))  # type: ignore[arg-type]


def problems(**values: object) -> list[str]:
    with pytest.raises(PipelineInvalid) as caught:
        pipeline_from_text(pipeline_text(form(**values)))
    return [f"{problem.field}: {problem.message}" for problem in caught.value.problems]


def test_every_field_arrives() -> None:
    """As it would stand in a file."""
    filled = form(include="**/*.mov", fps=2, confidence=0.1, annotated="gs://a/", lightly="az://l/", labelbox="s3://b/")
    pipeline = pipeline_from_text(pipeline_text(filled))

    assert ("s3://bucket/2026/", ("**/*.mov",)) == (pipeline.sources[0].uri, pipeline.sources[0].include)
    assert ("roboflow", "players/2", 2, 0.1) == (
        pipeline.inference.backend,
        pipeline.inference.model,
        pipeline.inference.fps,
        pipeline.inference.confidence,
    )
    assert ["results", "video", "lightly", "labelbox"] == [route.to for route in pipeline.routes]


def test_the_same_form_is_the_same_pipeline() -> None:
    """Filled in again it goes on where it was; another one has another name."""
    assert pipeline_text(form()) == pipeline_text(form())
    names = {pipeline_from_text(pipeline_text(form(fps=fps))).name for fps in (1, 2, 3)}
    assert 3 == len(names)


def test_mistakes_are_told_by_the_forms_names() -> None:
    """All at once, with no line of a text that nobody has seen."""
    assert [
        "include: '[' has a '[' that is not closed; a literal one is written [[]",
        "model: 'players' is not a model",
        "fps: '500' is too high",
        "lightly_task: 'a b' is not a name for a task",
    ] == problems(include="[", model="players", fps=500, lightly="s3://l/", lightly_task="a b")
    with pytest.raises(PipelineInvalid, match=r"^form: fps: '500' is too high\n    allowed: a number from 1 to 120$"):
        pipeline_from_text(pipeline_text(form(fps=500)))


def test_what_is_left_out_is_asked_for() -> None:
    """Not as a fault of some text, but as fields to fill in."""
    with pytest.raises(InputInvalid, match="the form has no source and no model"):
        pipeline_text(form(source="", model=""))
    with pytest.raises(InputInvalid, match="fill in one of results, annotated, lightly, labelbox"):
        pipeline_text(form(results=""))


def test_a_form_reads_nothing_from_the_workers_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A dollar in a form is a dollar: the worker's keys cannot be asked for."""
    monkeypatch.setenv("ROBOFLOW_API_KEY", "MARKED-SECRET")
    text = pipeline_text(form(results=f"{tmp_path}/$ROBOFLOW_API_KEY"))

    assert pipeline_from_text(text).routes[0].location.endswith("/$ROBOFLOW_API_KEY/")
    assert "MARKED" not in text


@pytest.mark.parametrize("value", ["a: b", "- x", "*x", "'", '"', "yes", "1e3", "é✓", "#"])
def test_text_stays_text(value: str) -> None:
    """Nothing in a field is read as YAML."""
    pipeline = pipeline_from_text(pipeline_text(form(source=f"s3://bucket/{value}")))

    assert f"s3://bucket/{value}" == pipeline.sources[0].uri.rstrip("/")
