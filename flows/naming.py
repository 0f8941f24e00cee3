"""What runs are called in Prefect: after their flow and their pipeline, by whatever path that was given."""

from __future__ import annotations

from pathlib import Path

from prefect.runtime import flow_run

from config.load import load_pipeline
from tasks.domain.errors import ReelrouteError
from tasks.domain.video import printable


def run_name() -> str:
    """Name of the run that begins: "ingest yard"; "collect" of all pipelines."""
    given = flow_run.parameters
    named = pipeline_called(given["pipeline"]) if given.get("pipeline") else printable(given.get("source", ""))
    return f"{flow_run.flow_name} {named}".strip()


def pipeline_called(name_or_path: str) -> str:
    """The name of a pipeline that was given by its name or by the path of its file."""
    path = Path(name_or_path)
    if path.name == name_or_path and not path.suffix:
        return printable(name_or_path)
    try:
        return load_pipeline(name_or_path).name
    except ReelrouteError:  # the run will say what is wrong with it
        return printable(path.stem)
