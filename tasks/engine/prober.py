"""Look into videos in processes of their own, whose memory is bounded.

libav takes memory as a file's tables, tracks and pictures ask for it, and a few kilobytes can ask
for gigabytes. What a process asks for in vain is that video's failure, and so is its crash: the
run, and the machine, go on. One process is started with the first video (`prober_process`); it
forks one for each video, which asks for the bytes it needs over a socket, because only we hold the
stores' credentials. No library that decodes is loaded here.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import BinaryIO

from tasks.domain.environment import child_environment
from tasks.domain.errors import Permanent, StorageUnavailable, VideoUnreadable
from tasks.domain.video import VideoInfo
from tasks.engine.prober_protocol import ANSWER, BEGUN, HEADER, LENGTH, Answer, Order, Question, received

_MIB = 1 << 20
_LONGEST_ANSWER = 64 * 1024
_LONGEST_READ = 16 * _MIB
# Memory of one process. Many videos are looked at side by side; one that needs more is looked at
# again, one at a time. Decoding 8K for long takes most: its decoder holds all the pictures it may.
_SMALL = 256 * _MIB
_LARGE: dict[Question, int] = {"probe": 640 * _MIB, "count": 1280 * _MIB}
_one_at_a_time = threading.Lock()


def probe(file: BinaryIO, *, size: int | None = None) -> VideoInfo:
    """Read size, rotation, frame rate, frame count and duration: :func:`tasks.engine.probe.probe`, confined.

    Args:
        file: Seekable; left anywhere, never closed.
        size: Its bytes, if known.

    Raises:
        VideoTooLarge: Looking into it takes more memory than is given to it, or its pictures are too large.
        VideoEmpty, VideoTruncated: See there.
        VideoUnreadable: Not a video, damaged, or it ended the process that looked into it.
        StorageUnavailable: No process could be started.
        ReelrouteError: Whatever ``file`` itself raises.
    """
    info = _asked("probe", file, size).info
    if info is None:
        raise VideoUnreadable("nothing was found out about the video")
    return info


def count_by_decoding(file: BinaryIO) -> int:
    """Count the frames that a decoder gives out: :func:`tasks.engine.probe.count_by_decoding`, confined.

    Raises:
        As :func:`probe`.
    """
    return _asked("count", file, None).count


def _asked(question: Question, file: BinaryIO, size: int | None) -> Answer:
    """Ask within the smaller allowance; a refusal is believed only of the larger one."""
    length = file.seek(0, os.SEEK_END) if size is None else size
    try:
        return _answer(Order(question, length, _SMALL), file)
    except Permanent as error:
        if error.code not in Answer.REFUSALS:
            raise
    with _one_at_a_time:
        return _answer(Order(question, length, _LARGE[question]), file)


def _answer(order: Order, file: BinaryIO) -> Answer:
    with _prober.connected() as line:
        try:
            line.sendall(order.encoded())
            begun = line.recv(1) == BEGUN
        except OSError:
            begun = False
        if not begun:
            raise StorageUnavailable(
                "no process could be started to look into the video",
                hint="check this machine's free memory and its limit of processes",
            )
        try:
            return _served(line, file).believed()
        except (EOFError, ConnectionError):
            raise VideoUnreadable(
                "the video ended the process that looked into it",
                hint="it takes too much memory or crashes its decoder: encode it anew, then upload it again",
            ) from None


def _served(line: socket.socket, file: BinaryIO) -> Answer:
    """Give the process the bytes that it asks for until it gives its answer."""
    while True:
        kind, offset, length = HEADER.unpack(received(line, HEADER.size))
        if kind == ANSWER:
            return Answer.decoded(received(line, min(length, _LONGEST_ANSWER)))
        file.seek(offset)
        piece = file.read(min(length, _LONGEST_READ))
        line.sendall(LENGTH.pack(len(piece)) + piece)


class _Prober:
    """The process that forks: started when it is first needed, and anew should it have died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def connected(self) -> socket.socket:
        """A line to a new process for one video; closing it ends that process."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._control or self._started(), [b"\0"], [theirs.fileno()])
            except OSError:
                self._end()
                socket.send_fds(self._started(), [b"\0"], [theirs.fileno()])
        return ours

    def stop(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # -P: never import from the current folder
                [sys.executable, "-P", "-m", "tasks.engine.prober_process"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**child_environment(os.environ), "OPENBLAS_NUM_THREADS": "1"},
            )
        self._control = ours
        return ours

    def _end(self) -> None:
        if self._control is not None:
            with suppress(OSError):
                # Not only closed: a process that was forked from ours may hold it, too.
                self._control.shutdown(socket.SHUT_RDWR)
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.wait()
            self._process = None


_prober = _Prober()
atexit.register(_prober.stop)
