"""A model is known by every file that it reads."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tasks.domain.errors import ModelInvalid
from tasks.engine.detectors import load_detector
from tasks.engine.model_files import digest_of, files_of
from tests.onnx_models import constant_model
from tests.unit.tasks.engine.found_dogs import end_to_end

CASES = Path(__file__).parents[3] / "cases"


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    """A model whose weights lie in ``weights_beside.onnx.data``."""
    for name in ("weights_beside.onnx", "weights_beside.onnx.data"):
        shutil.copy(CASES / name, tmp_path / name)
    return tmp_path / "weights_beside.onnx"


def external(name: str, location: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def model_of(path: Path, graph: onnx.GraphProto, functions: list[onnx.FunctionProto] | None = None) -> Path:
    path.write_bytes(helper.make_model(graph, functions=functions or []).SerializeToString())
    return path


def test_a_model_in_one_file_is_known_by_its_sha256(tmp_path: Path) -> None:
    """As ever: ledgers keep their jobs."""
    path = constant_model(tmp_path / "m.onnx", {"output0": end_to_end()})
    assert {} == files_of(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest_of(path)


def test_other_weights_beside_a_model_are_another_model(parted: Path) -> None:
    """The model's own file says nothing of what is trained; a bit in the other does."""
    before = digest_of(parted)
    data = parted.with_name("weights_beside.onnx.data")
    assert {"weights_beside.onnx.data": data} == files_of(parted)
    assert before == digest_of(parted)
    data.write_bytes(data.read_bytes()[:-1] + b"\x01")
    assert before != digest_of(parted)
    assert hashlib.sha256(parted.read_bytes()).hexdigest() not in (before, digest_of(parted))


def test_missing_weights_are_named(parted: Path) -> None:
    """With where they belong; whether the identity is asked for or the model is loaded."""
    parted.with_name("weights_beside.onnx.data").unlink()
    for use in (digest_of, load_detector):
        with pytest.raises(ModelInvalid, match=r"weights_beside\.onnx\.data' beside it, which is not there") as caught:
            use(parted)
        assert 2 == caught.value.exit_code
        assert str(parted.parent) in caught.value.hint


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/hostname", "a/../../w.bin", "link/w.bin", "", "a\0b", "x" * 5000]
)
def test_weights_outside_of_the_models_folder_are_refused(location: str, tmp_path: Path) -> None:
    """A model file that somebody sent reads nothing else of the machine."""
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(b"0" * 16)
    (folder / "link").symlink_to(tmp_path)
    graph = helper.make_graph([], "g", [], [], [external("w", location)])
    with pytest.raises(ModelInvalid, match=r"outside of the model's folder|not there"):
        files_of(model_of(folder / "m.onnx", graph))


def test_weights_are_found_wherever_a_model_can_have_them(tmp_path: Path) -> None:
    """Initialisers, sparse ones, constants of nodes, of functions and of graphs within graphs, in sub-folders too."""
    (tmp_path / "deep").mkdir()
    places = ["top.bin", "sparse.bin", "indices.bin", "constant.bin", "deep/inner.bin", "function.bin", "list.bin"]
    for place in places:
        (tmp_path / place).write_bytes(b"0" * 16)
    inner = helper.make_graph([], "inner", [], [], [external("w", "deep/inner.bin")])
    outer = helper.make_graph([helper.make_node("If", ["c"], ["y"], then_branch=inner)], "outer", [], [])
    several = helper.make_node("X", [], ["z"])
    several.attribute.append(helper.make_attribute("tensors", [external("t", "list.bin")]))
    nodes = [
        helper.make_node("Constant", [], ["c"], value=external("v", "constant.bin")),
        helper.make_node("Loop", ["c"], ["x"], body=outer),
        several,
    ]
    graph = helper.make_graph(nodes, "g", [], [], [external("w", "top.bin"), external("w2", "top.bin")])
    sparse = graph.sparse_initializer.add()
    sparse.values.CopyFrom(external("s", "sparse.bin"))
    sparse.indices.CopyFrom(external("i", "indices.bin"))
    constant = helper.make_node("Constant", [], ["c"], value=external("v", "function.bin"))
    function = helper.make_function("d", "f", [], ["c"], [constant], [helper.make_opsetid("", 13)])
    assert sorted(places) == list(files_of(model_of(tmp_path / "m.onnx", graph, [function])))


def test_a_location_of_data_that_are_inside_counts_for_nothing(tmp_path: Path) -> None:
    """Only a tensor that says so is elsewhere."""
    tensor = external("w", "nowhere.bin")
    tensor.data_location = TensorProto.DEFAULT
    assert {} == files_of(model_of(tmp_path / "m.onnx", helper.make_graph([], "g", [], [], [tensor])))


@given(content=st.binary(max_size=200) | st.integers(0, 1400))
def test_any_file_has_an_identity(content: bytes | int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is no model, or half of one, is known by its bytes; loading it says what is wrong."""
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    whole = (CASES / "weights_beside.onnx").read_bytes()
    path.write_bytes(content if isinstance(content, bytes) else whole[:content])
    with suppress(ModelInvalid):  # its weights are not beside it
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest_of(path)
