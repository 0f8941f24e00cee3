"""Pipeline files to change one thing in, and a working directory of one's own."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import load_pipeline
from config.pipeline import Pipeline
from config.problems import PipelineInvalid, Problem

SOUND = """\
name: yard
sources:
  - uri: /videos
inference:
  backend: local
  model: oidv4/1
routes:
  - {to: results, uri: /out}
"""

Load = Callable[..., Pipeline]
Mistakes = Callable[..., tuple[Problem, ...]]


def blocks(problems: tuple[Problem, ...]) -> list[str]:
    """The first line of each problem, without the file."""
    return [str(problem).splitlines()[0].removeprefix("yard.yaml:") for problem in problems]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of one's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def load(here: Path) -> Load:
    """Write a text to yard.yaml and load it; ``env`` are its variables."""

    def load_text(text: str, env: dict[str, str] | None = None) -> Pipeline:
        (here / "yard.yaml").write_text(textwrap.dedent(text), encoding="utf-8", newline="")
        return load_pipeline("./yard.yaml", env=env or {})

    return load_text


@pytest.fixture
def mistakes(load: Load) -> Mistakes:
    """Load a text that is wrong, and return its problems."""

    def problems_of(text: str, env: dict[str, str] | None = None) -> tuple[Problem, ...]:
        with pytest.raises(PipelineInvalid) as caught:
            load(text, env)
        return caught.value.problems

    return problems_of


@pytest.fixture
def sound() -> str:
    """The text of a pipeline file without mistakes."""
    return SOUND
