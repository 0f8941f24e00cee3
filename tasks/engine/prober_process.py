"""The program behind `prober`: it loads the decoder once, then forks a process of bounded memory for each video.

It ends when its stdin does, which the system closes for a parent that dies in any way; a process
for a video ends with the line to it.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from tasks.domain.errors import ReelrouteError
from tasks.domain.seekable import SeekableFile
from tasks.engine.memory import be_ended_first, confine
from tasks.engine.probe import count_by_decoding, probe
from tasks.engine.prober_protocol import BEGUN, HEADER, LENGTH, WANTED, Answer, Order, received

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _Lent(SeekableFile):
    """The parent's file, read through the line to it."""

    def __init__(self, line: socket.socket, size: int) -> None:
        super().__init__(size)
        self._line = line

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._size - self._position))
        if not wanted:
            return 0
        try:
            self._line.sendall(HEADER.pack(WANTED, self._position, wanted))
            (length,) = LENGTH.unpack(received(self._line, LENGTH.size))
            view[:length] = received(self._line, length)
        except (EOFError, ConnectionError):
            os._exit(0)  # nobody waits for an answer any more
        self._position += length
        return cast(int, length)


def look(line: socket.socket) -> None:
    """Take an order from a line, within its memory, and answer it."""
    with line.makefile("rb", buffering=0) as lines:
        order = msgspec.json.decode(lines.readline(), type=Order)
    be_ended_first()
    confine(order.memory)
    line.sendall(BEGUN)
    line.sendall(_answer(order, cast(BinaryIO, io.BufferedReader(_Lent(line, order.size), 64 * 1024))).encoded())


def _answer(order: Order, file: BinaryIO) -> Answer:
    try:
        if order.question == "count":
            return Answer(count=count_by_decoding(file))
        return Answer(info=probe(file, size=order.size))
    except ReelrouteError as error:
        return Answer(code=error.code, message=error.message, hint=error.hint)


def main() -> None:
    """Fork for each line that comes in."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C is meant for our parent, which may still want answers
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = socket.socket(fileno=0)
    gc.freeze()
    while True:
        message, lines, *_ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        with suppress(OSError):  # no process to be had: the parent sees its line closed
            if os.fork() == 0:
                control.close()
                _look_and_end(lines[0])
        os.close(lines[0])


def _look_and_end(line: int) -> None:
    status = 1
    try:
        look(socket.socket(fileno=line))
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
