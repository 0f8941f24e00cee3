"""The program that a worker process runs: orders on stdin, replies on stdout, the engine in between.

It ends when its stdin does, which the system closes for a service that dies in any way. An error
that nobody foresaw ends the process; the service then says ``worker_crashed``.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from deployments.services.inference.addresses import checked_client
from deployments.services.inference.protocol import Order, Reply
from tasks.domain.errors import AccessDenied, ObjectMissing, ReelrouteError, VideoTooLarge
from tasks.domain.video import printable
from tasks.engine.memory import be_ended_first

if TYPE_CHECKING:
    from tasks.engine.detectors import Detector


class Runner:
    """Runs one order after the other and keeps the models it has loaded."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, tuple[tuple[int, int], ...]], Detector] = {}

    def run(self, order: Order) -> Reply:
        """Infer the video and write the results; a failure that has a name becomes the reply."""
        from tasks.engine.run import infer_video

        request, limits = order.request, order.limits
        try:
            models = {name: self._detector(path) for name, path in request.models.items()}
            with open_video(order) as video:
                infer_video(
                    video,
                    models,
                    fps=request.fps,
                    confidence=request.confidence,
                    target=Path(order.target),
                    max_duration_s=limits.max_duration_s,
                )
        except ReelrouteError as error:
            return Reply(error.code, error.message, error.hint)
        except OSError as error:  # most often a full disk; the engine names what is wrong with videos
            return Reply("storage_unavailable", f"the service's machine failed: {error.strerror}")
        return Reply()

    def _detector(self, path: str) -> Detector:
        from tasks.engine.detectors import load_detector
        from tasks.engine.model_files import files_of

        try:
            key = path, tuple(map(_state, (Path(path), *files_of(Path(path)).values())))
        except FileNotFoundError:
            raise ObjectMissing("the model's file is gone from the service's machine") from None
        if key not in self._loaded:
            self._loaded[key] = load_detector(Path(path))
        return self._loaded[key]


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@contextmanager
def open_video(order: Order) -> Iterator[BinaryIO]:
    """Open the order's video for reading, wherever it is, and close it again.

    Raises:
        ReelrouteError: It is missing, too large, or must not be read.
    """
    request, limits = order.request, order.limits
    if request.path:
        with _open_file(request.path, limits.max_bytes) as file:
            yield file
        return
    from tasks.engine.http_range import open_url

    with (
        checked_client(allow_private=limits.allow_private) as client,
        open_url(request.url, client=client, max_bytes=limits.max_bytes) as file,
    ):
        yield file


def _open_file(path: str, max_bytes: int) -> BinaryIO:
    name = printable(Path(path).name)
    try:
        file = Path(path).open("rb")  # noqa: SIM115 (the caller closes it)
    except FileNotFoundError:
        raise ObjectMissing(f"{name} is gone") from None
    except OSError as error:
        raise AccessDenied(f"{name} cannot be read: {error.strerror}") from None
    size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        file.close()
        raise VideoTooLarge(f"{name} has {size:,} bytes; at most {max_bytes:,} are taken")
    return file


def main() -> None:
    """Serve orders until stdin ends."""
    # Ctrl-C and systemd signal the whole group; when to stop is for the service to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.excepthook = _end_without_values
    be_ended_first()
    # Replies get stdout for themselves; whatever a library prints goes to stderr.
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_orders, args=(orders,), daemon=True).start()
    runner = Runner()
    while True:
        replies.write(runner.run(Order.from_line(orders.get())).to_line())


def _read_orders(orders: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        orders.put(line)
    # The service is gone. In mid-job too: nobody waits for it, and the job is still queued.
    os._exit(0)


def _end_without_values(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    """Print where it happened but not the text of the error, which may hold a signed URL; then end."""
    sys.stderr.write(f"worker ended by {kind.__name__}\n" + "".join(traceback.format_tb(trace)))
    sys.stderr.flush()
    os._exit(1)  # an ordinary exit would wait for the thread that reads stdin


if __name__ == "__main__":
    main()
