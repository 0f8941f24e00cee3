"""Files of text prompts' embeddings."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.domain.errors import InputInvalid
from tasks.sinks.labelbox.prompts import read_prompts


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_names_and_vectors_are_read(tmp_path: Path, suffix: str) -> None:
    """In their order, each of length 1; an array may be a row of a matrix."""
    path = tmp_path / f"prompts{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps({"a goal": [3, 4], "a foul": [[0, 2]]}))
    else:
        vectors: dict[str, Any] = {"a goal": np.array([3, 4]), "a foul": np.array([[0.0, 2.0]])}
        np.savez(path, **vectors)

    prompts = read_prompts(path)

    assert ("a goal", "a foul") == prompts.names
    assert [[0.6, 0.8], [0.0, 1.0]] == prompts.vectors.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"one": [1, 2]}',
        '{"a": [1, 2], "b": [1]}',
        '{"a": [], "b": []}',
        '{"a": [0, 0], "b": [1, 1]}',
        '{"a": ["x", 0], "b": [1, 1]}',
        '{"a": {"x": 1}, "b": [1, 1]}',
        '{"a": [[1, 2], [3]], "b": [1, 1]}',
        '{"a": null, "b": [1]}',
        '{"a": [1e999, 1], "b": [1, 1]}',
    ],
)
def test_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    """By name, with what it has to be."""
    path = tmp_path / "prompts.json"
    path.write_text(text)

    with pytest.raises(InputInvalid, match="prompts") as refused:
        read_prompts(path)

    assert ".npz" in refused.value.hint


def test_arrays_that_would_run_code_are_refused(tmp_path: Path) -> None:
    """A pickle is a program."""
    path = tmp_path / "prompts.npz"
    np.savez(path, a=np.array([object()]), b=np.array([1.0]))

    with pytest.raises(InputInvalid):
        read_prompts(path)


@pytest.mark.parametrize("name", ["absent.json", "absent.npz", "folder.json", "folder.npz"])
def test_a_file_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    """As a mistake of the pipeline file."""
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "folder.npz").mkdir()

    with pytest.raises(InputInvalid, match="cannot read prompts"):
        read_prompts(tmp_path / name)


def test_any_bytes_are_refused(tmp_path: Path) -> None:
    """A file of another kind under that name."""
    path = tmp_path / "prompts.npz"
    path.write_bytes(b"PK\x03\x04 not quite")

    with pytest.raises(InputInvalid):
        read_prompts(path)


def test_the_length_of_vectors_does_not_matter(tmp_path: Path) -> None:
    """Some models give them normalised, some do not."""
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"a": [1e-3, 1e-3], "b": [1e6, 0]}))

    assert [1 / math.sqrt(2), 1.0] == pytest.approx([float(read_prompts(path).vectors[row, 0]) for row in (0, 1)])
