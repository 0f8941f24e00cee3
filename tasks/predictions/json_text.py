"""Open JSON text that may be anything, and say in plain words what it is or where it is wrong."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from tasks.domain.errors import ResultInvalid

# A member's value: its elements if it is a list, left as text, else whatever it is.
Members = dict[str, list[msgspec.Raw] | dict[str, msgspec.Raw] | str | int | float | bool | None]

_AGAIN = "`reelroute replay PIPELINE --failed` fetches the results again"
# Python's json writes these, JSON has no such thing.
_NOT_JSON = re.compile(rb"(?<=[\[:,\s])(?:NaN|-?Infinity)(?=[\],}\s])")
# msgspec ends its messages with the place: " - at `$.predictions[3].x`", where it is not the top.
_MSGSPEC = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)


def open_object(data: bytes | mmap.mmap) -> Members:
    """Split a JSON object into its members, and lists into elements, which stay text; all text is checked.

    NaN and infinities are let through as text: where they stand for a number that is used, it
    is refused with its path, and where they are ignored they do no harm.

    Raises:
        ResultInvalid: It is something else; the message says what.
    """
    try:
        return msgspec.json.decode(data, type=Members)
    except (msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise refusal(error, "the results") from None
    except msgspec.DecodeError as error:
        problem = str(error)
    start = data[:100].lstrip()
    if not start:
        raise ResultInvalid("the results are empty", hint=_AGAIN)
    if start.startswith(b"<"):
        raise ResultInvalid("this is an HTML or XML page, not results", hint=_AGAIN)
    if "truncated" in problem:
        raise ResultInvalid("the results end in the middle: they were cut short", hint=_AGAIN)
    patched, count = _NOT_JSON.subn(lambda found: b'"%s"' % found[0], data)
    if not count:
        raise ResultInvalid(f"the results are no JSON: {problem}")
    return open_object(patched)


def decode_each(elements: list[msgspec.Raw], kind: Any, path: str) -> Iterator[Any]:
    """Decode the elements of a list as ``kind``; a number may be text.

    Raises:
        ResultInvalid: One is of another type; the message names it.
    """
    decode = msgspec.json.Decoder(kind, strict=False).decode
    position = 0
    try:
        for element in elements:
            yield decode(element)
            position += 1
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise refusal(error, f"{path}[{position}]") from None


def refusal(error: Exception, path: str) -> ResultInvalid:
    """Translate what decoding ``path`` raised."""
    if isinstance(error, UnicodeError):
        return ResultInvalid(f"{path}: text is not UTF-8")
    if isinstance(error, RecursionError):
        return ResultInvalid(f"{path}: nested too deeply")
    if isinstance(error, OverflowError):
        return ResultInvalid(f"{path}: a number is too large")
    found = _MSGSPEC.fullmatch(str(error))
    what, where = (found["what"], found["path"] or "") if found else (str(error), "")
    return ResultInvalid(f"{path}{where}: {what[:1].lower()}{what[1:]}")
