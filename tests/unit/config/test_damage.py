"""Whatever a pipeline file holds, loading it ends well or with a mistake that has a line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.load import PIPELINES, load_pipeline
from config.problems import PipelineInvalid

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
