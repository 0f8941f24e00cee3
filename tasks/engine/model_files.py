"""Which files an ONNX model reads, and what identifies them all together.

Weights may lie in files beside the model ("external data": whatever is larger than 2 GB, and what many
exporters do anyway). Only their names are read here, straight from the protobuf, by the field
numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto: no weights are loaded.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tasks.domain.errors import ModelInvalid
from tasks.domain.video import printable

# Message -> number of a field -> the message in it: the ways that lead to tensors, through nested graphs too.
_WITHIN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1
_DEEPEST = 100
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def files_of(model: Path) -> dict[str, Path]:
    """The files that a model reads beside its own: location as the model spells it -> path, in the order of names.

    Empty for a file that is no protobuf: whoever loads it says what is wrong.

    Raises:
        ModelInvalid: One is not there, or outside of the model's folder.
    """
    return {location: _beside(model, location) for location in sorted(_locations(model))}


def digest_of(model: Path) -> str:
    """Identify a model by the content of every file that it reads.

    The sha256 of the file in hex digits; where it reads others, a sha256 of theirs and its own.

    Raises:
        ModelInvalid: As :func:`files_of`.
    """
    own = _sha256(model)
    others = [[location, _sha256(path)] for location, path in files_of(model).items()]
    return hashlib.sha256(json.dumps([own, *others]).encode()).hexdigest() if others else own


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(model: Path, location: str) -> Path:
    shown, folder = printable(location), model.parent.resolve()
    try:
        path = (folder / location).resolve()
        is_there = path.is_file()
    except (OSError, ValueError):  # no name that a file can have
        path, is_there = folder, False
    if PurePosixPath(location).is_absolute() or not path.is_relative_to(folder):
        raise ModelInvalid(
            f"{model.name} reads its weights from {shown!r}, which is outside of the model's folder",
            hint="export it with its weights in a file beside it, or in one file",
        )
    if not is_there:
        raise ModelInvalid(
            f"{model.name} reads its weights from {shown!r} beside it, which is not there",
            hint=f"copy it into {printable(str(folder))} under that name",
        )
    return path


def _locations(model: Path) -> set[str]:
    try:
        with model.open("rb") as file:
            return set(_external(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), "model", 0))
    except (ValueError, IndexError, OSError):
        return set()


def _external(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    """Locations in a message and all within it.

    Raises:
        ValueError, IndexError: It is no such message.
    """
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if kind == "tensor":
        yield from _location(message)
        return
    for number, value in _fields(message):
        inner = _WITHIN[kind].get(number)
        if inner is not None and isinstance(value, memoryview):
            yield from _external(value, inner, depth + 1)


def _location(tensor: memoryview) -> Iterator[str]:
    """Where the tensor's data are, if they are not in it."""
    entries: dict[str, str] = {}
    external = False
    for number, value in _fields(tensor):
        if number == _DATA_LOCATION:
            external = value == _EXTERNAL
        elif number == _EXTERNAL_DATA and isinstance(value, memoryview):
            entry = {
                n: str(part, "utf-8", "surrogateescape") for n, part in _fields(value) if not isinstance(part, int)
            }
            entries[entry.get(1, "")] = entry.get(2, "")
    if external and "location" in entries:
        yield entries["location"]


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and value of each field, with the bytes of nested messages as views."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(message, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("no such wire type")
        if position + length > len(message):
            raise ValueError("cut short")
        if wire == _BYTES:
            yield number, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number in seven bits a byte, and where the next field begins."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("no number is that long")
