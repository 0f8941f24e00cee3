"""What is said between `prober` and the process that looks into one video.

An order goes in as one line of JSON. Out come a byte that the process has begun, then messages of
a header each: a piece of the file is wanted, which goes in as its length and its bytes; or an
answer, of JSON and of nothing that could be executed, since its sender has read what strangers made.
"""

from __future__ import annotations

import socket
import struct
from fractions import Fraction
from typing import Any, ClassVar, Literal

import msgspec

from tasks.domain.errors import ReelrouteError, VideoEmpty, VideoTooLarge, VideoTruncated, VideoUnreadable
from tasks.domain.video import VideoInfo

Question = Literal["probe", "count"]
BEGUN = b"+"
HEADER = struct.Struct("!cQI")  # kind; then of a piece that is wanted: offset, length; of an answer: 0, length
WANTED, ANSWER = b"r", b"a"
LENGTH = struct.Struct("!I")
_REFUSALS: dict[str, type[ReelrouteError]] = {
    error.code: error for error in (VideoEmpty, VideoTooLarge, VideoTruncated, VideoUnreadable)
}


class Order(msgspec.Struct, frozen=True):
    """What is asked.

    Attributes:
        question: All about the video, or only how many of its frames decode.
        size: Bytes of the file.
        memory: Bytes that the process may take.
    """

    question: Question
    size: int
    memory: int

    def encoded(self) -> bytes:
        """One line."""
        return msgspec.json.encode(self) + b"\n"


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found out: ``info`` or ``count``, or else the ``code`` of a refusal."""

    REFUSALS: ClassVar[frozenset[str]] = frozenset(_REFUSALS)

    info: VideoInfo | None = None
    count: int = 0
    code: str = ""
    message: str = ""
    hint: str = ""

    def encoded(self) -> bytes:
        """A header and JSON."""
        text = msgspec.json.encode(self, enc_hook=str)
        return HEADER.pack(ANSWER, 0, len(text)) + text

    @classmethod
    def decoded(cls, text: bytes) -> Answer:
        """The answer in ``text``; a refusal if it is none."""
        try:
            return msgspec.json.decode(text, type=cls, dec_hook=_fraction)
        except msgspec.DecodeError:
            return cls(code=VideoUnreadable.code, message="nothing was found out about the video")

    def believed(self) -> Answer:
        """The answer itself.

        Raises:
            VideoEmpty, VideoTooLarge, VideoTruncated, VideoUnreadable: It is a refusal.
        """
        if self.code:
            raise _REFUSALS.get(self.code, VideoUnreadable)(self.message, hint=self.hint)
        return self


def received(line: socket.socket, length: int) -> bytes:
    """Read exactly ``length`` bytes.

    Raises:
        EOFError: The other side ended first.
    """
    data = bytearray()
    while len(data) < length:
        piece = line.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _fraction(_: type, value: Any) -> Fraction:
    return Fraction(value)
