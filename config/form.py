"""A pipeline from a form: flat fields become the text of a pipeline file, read as any other.

So a mistake in a form is told in the words of a pipeline file, and what ran can be kept, run again
and copied into a file of one's own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

import yaml

from config.load import read_pipeline
from config.pipeline import Pipeline
from config.problems import PipelineInvalid, Problem
from tasks.domain.errors import InputInvalid

# What names of pipelines made from forms begin with; the rest is a hash of the form.
PREFIX = "adhoc-"
_SHOWN = "form"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What somebody filled in; "" and 0 are fields left alone.

    Attributes:
        source: Folder or prefix to list.
        include: One glob below it.
        backend, model, fps, confidence: As in a pipeline file.
        results, annotated, lightly, labelbox: Where each kind of route writes.
        lightly_task: Prediction task of the lightly route.
    """

    source: str
    model: str
    include: str = ""
    backend: str = "roboflow"
    fps: float = 5.0
    confidence: float = 0.4
    results: str = ""
    annotated: str = ""
    lightly: str = ""
    lightly_task: str = "reelroute"
    labelbox: str = ""


# Key in the pipeline file -> field of the form, where they have different names.
_FIELDS = {
    "sources[0].uri": "source",
    "sources": "source",
    "sources[0].include[0]": "include",
    "sources[0].include": "include",
    "routes": "results",
}
_ROUTES = ("results", "annotated", "lightly", "labelbox")


def pipeline_text(form: Form) -> str:
    """Write a form as a pipeline file; the same form gives the same text, name included.

    Raises:
        InputInvalid: It has no source, no model or no route.
    """
    missing = [name for name in ("source", "model") if not getattr(form, name)]
    if missing:
        raise InputInvalid(
            f"the form has no {' and no '.join(missing)}",
            hint="name a pipeline, or fill in at least source, model and one place for the predictions",
        )
    routes = _routes(form)
    if not routes:
        raise InputInvalid(f"the form has no route: fill in one of {', '.join(_ROUTES)}")
    source: dict[str, object] = {"uri": form.source}
    if form.include:
        source["include"] = [form.include]
    inference = {"backend": form.backend, "model": form.model, "fps": form.fps, "confidence": form.confidence}
    data = {"sources": [source], "inference": inference, "routes": routes}
    text = yaml.safe_dump(_literal(data), sort_keys=False, allow_unicode=True)
    return f"name: {PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:10]}\n{text}"


def pipeline_from_text(text: str) -> Pipeline:
    """Read what :func:`pipeline_text` wrote.

    Raises:
        PipelineInvalid: The form has mistakes; each is told by the name of its field.
    """
    try:
        return read_pipeline(text.encode(), _SHOWN, {})
    except PipelineInvalid as invalid:
        raise PipelineInvalid([_in_the_form(problem, text) for problem in invalid.problems]) from None


def _routes(form: Form) -> list[dict[str, object]]:
    routes: list[dict[str, object]] = []
    if form.results:
        routes.append({"to": "results", "uri": form.results})
    if form.annotated:
        routes.append({"to": "video", "uri": form.annotated})
    if form.lightly:
        routes.append({"to": "lightly", "datasource": form.lightly, "task_name": form.lightly_task})
    if form.labelbox:
        routes.append({"to": "labelbox", "upload": False, "uri": form.labelbox})
    return routes


def _literal(value: object) -> object:
    """The same value with every dollar doubled: a form fills in no variables of the machine that runs it."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return {key: _literal(item) for key, item in value.items()} if isinstance(value, dict) else value


def _in_the_form(problem: Problem, text: str) -> Problem:
    """The same problem, by the form's name of the field."""
    name = _FIELDS.get(problem.field) or problem.field.removeprefix("inference.")
    if problem.field.startswith("routes["):
        kinds = {"results": "results", "video": "annotated", "lightly": "lightly", "labelbox": "labelbox"}
        routes = yaml.safe_load(text)["routes"]
        name = kinds[routes[int(problem.field[7 : problem.field.index("]")])]["to"]]
        name = "lightly_task" if problem.field.endswith(".task_name") else name
    known = {field.name for field in fields(Form)}
    return Problem(
        file=_SHOWN,
        line=0,
        column=0,
        field=name if name in known else problem.field,
        value=problem.value,
        message=problem.message,
        allowed=problem.allowed,
        suggestion=problem.suggestion,
    )
