"""Find a pipeline file and read it into a :class:`~config.pipeline.Pipeline`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from config.document import Mark, read_document
from config.explain import explain
from config.pipeline import Pipeline
from config.problems import PipelineInvalid, nearest, quoted
from tasks.domain.errors import InputInvalid

# The files that come with the project.
PIPELINES = Path(__file__).parent / "pipelines"
# Names of classes and the like are the model's.
FREE_KEYS = frozenset({"classes", "models", "keypoints", "points", "questions"})
_SUFFIXES = (".yaml", ".yml")


def load_pipeline(name_or_path: str, *, folder: Path = PIPELINES, env: Mapping[str, str] | None = None) -> Pipeline:
    """Read a pipeline file; tell every mistake in it at once.

    Args:
        name_or_path: See :func:`find_pipeline`.
        folder: Where names are looked up, besides ``config/pipelines`` of the working directory.
        env: What ``$VARIABLES`` are filled in from; by default the process's environment.

    Raises:
        PipelineInvalid: The file has mistakes.
        InputInvalid: There is no such file, or it cannot be read.
    """
    path = find_pipeline(name_or_path, folder=folder)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputInvalid(f"cannot read {path}: {error.strerror}") from None
    return read_pipeline(raw, _shown(path), os.environ if env is None else env)


def read_pipeline(raw: bytes, shown: str, env: Mapping[str, str]) -> Pipeline:
    """Read the text of a pipeline file; tell every mistake in it at once.

    Args:
        shown: How messages name the file.
        env: What ``$VARIABLES`` are filled in from.

    Raises:
        PipelineInvalid: The text has mistakes.
    """
    document = read_document(raw, shown, env, free_keys=FREE_KEYS)
    pipeline = None
    if isinstance(document.data, dict):
        try:
            pipeline = Pipeline.model_validate(document.data)
        except ValidationError as error:
            explain(error, document)
    elif not document.problems:
        message = "a pipeline file is a group of keys" if document.data else "the file is empty"
        document.report((), Mark(1, 1), message, ", ".join(Pipeline.model_fields))
    if document.problems or pipeline is None:
        raise PipelineInvalid(sorted(document.problems, key=lambda problem: (problem.line, problem.column)))
    return pipeline


def find_pipeline(name_or_path: str, *, folder: Path = PIPELINES) -> Path:
    """Return the file that PIPELINE means.

    Text with a slash is a path. A name, with or without ``.yaml``, is looked up in
    ``config/pipelines`` of the working directory and then in ``folder``; with a suffix it may
    also be a file in the working directory, which then comes first.

    Raises:
        InputInvalid: There is no such file.
    """
    named = Path(os.path.expanduser(name_or_path))  # noqa: PTH111 - Path raises for unknown users
    is_path = "/" in name_or_path or os.sep in name_or_path
    if is_path or (named.suffix in _SUFFIXES and _is_file(named)):
        if _is_file(named):
            return named
        raise InputInvalid(f"there is no pipeline file {quoted(name_or_path)}", hint=_known(folder, named.stem))
    stem = named.stem if named.suffix in _SUFFIXES else name_or_path
    for place in _folders(folder):
        for suffix in _SUFFIXES:
            candidate = place / f"{stem}{suffix}"
            if _is_file(candidate):
                return candidate
    raise InputInvalid(f"there is no pipeline {quoted(name_or_path)}", hint=_known(folder, stem))


def _is_file(path: Path) -> bool:
    # Path.is_file raises on names that are too long and in folders that may not be looked into.
    return os.path.isfile(path)  # noqa: PTH113


def _folders(folder: Path) -> list[Path]:
    here = Path.cwd() / "config" / "pipelines"
    return [here] if here.resolve() == folder.resolve() else [here, folder]


def pipeline_names(folder: Path = PIPELINES) -> list[str]:
    """The names under which :func:`find_pipeline` finds files, sorted."""
    return sorted(
        {file.stem for place in _folders(folder) for suffix in _SUFFIXES for file in place.glob(f"*{suffix}")}
    )


def _known(folder: Path, stem: str) -> str:
    """Say which pipelines there are, and which one was probably meant."""
    names = pipeline_names(folder)
    meant = nearest(stem, names)
    question = f"did you mean '{meant}'? " if meant else ""
    known = f"known pipelines: {', '.join(names)}" if names else "there are no pipelines in config/pipelines"
    return f"{question}{known}; anything else is the path of a file, such as ./{stem or 'mine'}.yaml"


def _shown(path: Path) -> str:
    """The path as one would open it from here."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)
