"""ONNX files run by onnxruntime: what goes in, what comes out, and every way it fails.

onnxruntime is used here and nowhere else. Each session has one thread: videos, not the layers
of one frame, are what runs in parallel. Load a model in the process that uses it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from tasks.domain.errors import ModelInvalid, Permanent
from tasks.engine.geometry import Floats
from tasks.engine.layouts import Signature, Tensor
from tasks.engine.model_files import files_of

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
# onnxruntime's exceptions have no base class of their own
_FAILURES = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    ValueError,
)


class FrameNotInferred(Permanent):
    """The model failed on this one frame."""

    code = "frame_not_inferred"


@dataclass(frozen=True, slots=True)
class _Entry:
    """The image input: its name, element type, axis order and (width, height)."""

    name: str
    type: str
    channels_first: bool
    size: tuple[int, int]


class OnnxSession:
    """A model with one image input, loaded and tried out.

    Attributes:
        signature: Inputs, outputs (with the shapes of a real run) and metadata.
        size: (width, height) of the image input.

    Raises:
        ModelInvalid: Not an ONNX model, not one image in, or it does not run.
    """

    def __init__(self, path: Path) -> None:
        self._session = _load(path)
        self.signature = _stated(self._session)
        self._entry = _entry(self.signature)
        self.size = self._entry.size
        try:
            trial = self.run(np.zeros((self.size[1], self.size[0], 3), np.float32))
        except FrameNotInferred as error:
            raise self.signature.refusal(f"the model does not run: {error.message}") from None
        outputs = tuple(Tensor(o.name, trial[o.name].shape, o.type) for o in self.signature.outputs)
        self.signature = Signature(self.signature.inputs, outputs, self.signature.metadata)

    def run(self, pixels: Floats) -> dict[str, Floats]:
        """Run the model on one image [height, width, 3]; return its outputs by name, as float32.

        Raises:
            FrameNotInferred: onnxruntime failed.
        """
        kind = _TYPES[self._entry.type]
        tensor = np.rint(pixels) if kind is np.uint8 else pixels
        if self._entry.channels_first:
            tensor = tensor.transpose(2, 0, 1)
        batch = np.ascontiguousarray(tensor[None].astype(kind))
        try:
            values = self._session.run(None, {self._entry.name: batch})
        except _FAILURES as error:
            raise FrameNotInferred(f"{type(error).__name__}: {_first_line(error)}") from None
        names = (output.name for output in self.signature.outputs)
        return {name: np.asarray(value, np.float32) for name, value in zip(names, values, strict=True)}


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ModelInvalid(f"{path} is not a file")
    files_of(path)  # onnxruntime's own words for one that is missing are of no use
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what it would print on stderr is raised as well
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _FAILURES as error:
        raise ModelInvalid(f"{path.name} cannot be loaded as an ONNX model: {_first_line(error)}") from None


def _stated(session: Any) -> Signature:
    """What the file states, before any run; sizes that are not fixed are None."""

    def tensor(node: Any) -> Tensor:
        return Tensor(node.name, tuple(n if isinstance(n, int) else None for n in node.shape or ()), node.type)

    signature = Signature(
        tuple(tensor(node) for node in session.get_inputs()),
        tuple(tensor(node) for node in session.get_outputs()),
        dict(session.get_modelmeta().custom_metadata_map),
    )
    if not all(output.type.startswith("tensor(") for output in signature.outputs):
        raise signature.refusal("the model gives out something other than tensors")
    return signature


def _entry(signature: Signature) -> _Entry:
    if len(signature.inputs) != 1 or signature.inputs[0].type not in _TYPES:
        raise signature.refusal("the model does not take exactly one image")
    image = signature.inputs[0]
    match image.shape:
        case (None | 1, 3, height, width):
            channels_first = True
        case (None | 1, height, width, 3):
            channels_first = False
        case _:
            raise signature.refusal(
                "the model's input is not one RGB image [1, 3, height, width] or [1, height, width, 3]"
            )
    if height is None or width is None:
        height, width = _stated_size(signature)
    return _Entry(image.name, image.type, channels_first, (width, height))


def _stated_size(signature: Signature) -> tuple[int, int]:
    """Height and width from Ultralytics' metadata entry ``imgsz``, for models that take any size."""
    try:
        height, width = ast.literal_eval(signature.metadata.get("imgsz", ""))
        return int(height), int(width)
    except (ValueError, TypeError, SyntaxError):
        hint = 'export it with a fixed input size, or add the metadata entry "imgsz", such as "[640, 640]"'
        raise signature.refusal("the model takes images of any size and does not say which suits it", hint) from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
