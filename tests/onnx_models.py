"""Tiny ONNX models whose outputs are constants, shaped like the detectors that people export."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

TYPES = {"float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
DYNAMIC_SIZE = ("N", 3, "H", "W")


def constant_model(
    path: Path,
    outputs: Mapping[str, NDArray[np.floating]],
    *,
    names: Sequence[str] | None = ("cat", "dog"),
    shape: Sequence[int | str] = (1, 3, 64, 64),
    dtype: str = "float",
    metadata: Mapping[str, str] | None = None,
    dynamic_outputs: bool = False,
) -> Path:
    """Write a model that answers ``outputs`` to every image.

    The input is used, so that it cannot be optimised away: each output is its constant plus
    zero times the input's mean (so a NaN in the image would show).

    Args:
        names: Metadata ``names`` as a JSON list; None leaves the entry out.
        shape: Of the input ``images``; text stands for a size that is not fixed.
        dtype: Element type of the input; outputs have it too, but for uint8 (then float).
        dynamic_outputs: Leave the sizes of the outputs open.
    """
    kind = "float" if dtype == "uint8" else dtype
    numpy_kind = np.float16 if kind == "float16" else np.float32
    nodes = [
        helper.make_node("Cast", ["images"], ["cast"], to=TYPES[kind]),
        helper.make_node("ReduceMean", ["cast"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    constants = [numpy_helper.from_array(np.array(0, numpy_kind), "zero")]
    results = []
    for name, value in outputs.items():
        constants.append(numpy_helper.from_array(value.astype(numpy_kind), f"{name}_value"))
        nodes.append(helper.make_node("Add", [f"{name}_value", "nothing"], [name]))
        sizes = [None] * value.ndim if dynamic_outputs else value.shape
        results.append(helper.make_tensor_value_info(name, TYPES[kind], sizes))
    image = helper.make_tensor_value_info("images", TYPES[dtype], list(shape))
    graph = helper.make_graph(nodes, "constant", [image], results, constants)
    entries = dict(metadata or {})
    if names is not None:
        entries.setdefault("names", json.dumps(list(names)))
    return save(path, graph, entries)


def colour_model(path: Path, *, detr: bool) -> Path:
    """Write a detector whose classes red, green and blue score as bright as their channel is.

    Args:
        detr: RF-DETR's layout with one query, else YOLOv8's; both over the middle of a 64 x 64 input.
    """
    centre = np.array([0.5, 0.5, 0.25, 0.25], np.float32) * (1 if detr else 64)
    values = {
        "shape": np.array([1, 1, 3] if detr else [1, 3, 1], np.int64),
        "box": centre.reshape((1, 1, 4) if detr else (1, 4, 1)),
        "rest": np.zeros((1, 7, 83), np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["labels"]),
    ]
    if detr:
        nodes.append(helper.make_node("Identity", ["box"], ["dets"]))
        shapes = {"dets": (1, 1, 4), "labels": (1, 1, 3)}
    else:
        nodes.append(helper.make_node("Concat", ["box", "labels"], ["first"], axis=1))
        nodes.append(helper.make_node("Concat", ["first", "rest"], ["output0"], axis=2))
        shapes = {"output0": (1, 7, 84)}
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "colours", [image], results, constants)
    return save(path, graph, {"names": json.dumps(["red", "green", "blue"])})


def gather_model(path: Path, *, names: Sequence[str] = ("cat", "dog"), least: float = 0.0) -> Path:
    """Write an end-to-end model that fails on every image that is not black, or on all for ``least`` 1.

    The brightest value, but at least ``least``, picks a row of a table that has only row 0.
    """
    table = np.zeros((1, 1, 300, 6), np.float32)
    constants = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.float32(least), "least")]
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["brightest"], keepdims=0),
        helper.make_node("Max", ["brightest", "least"], ["picked"]),
        helper.make_node("Ceil", ["picked"], ["up"]),
        helper.make_node("Cast", ["up"], ["row"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "row"], ["output0"], axis=0),
    ]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])
    result = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 300, 6])
    graph = helper.make_graph(nodes, "gather", [image], [result], constants)
    return save(path, graph, {"names": json.dumps(list(names))})


def save(path: Path, graph: onnx.GraphProto, metadata: Mapping[str, str]) -> Path:
    """Write a graph as a model file with metadata entries."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
