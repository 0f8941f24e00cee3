"""Start an emulator as a plain process on loopback, wait until it listens, and always end it."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_STARTS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 10.0


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(command: list[str], *, port: int, env: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run ``command`` for the length of the block, which begins once ``port`` takes connections.

    Raises:
        RuntimeError: It ended, or did not listen in time; with what it printed.
    """
    with tempfile.TemporaryFile() as output:
        running = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            if not _listens(running, port):
                output.seek(0)
                raise RuntimeError(f"{command[0]} did not start:\n{output.read().decode(errors='replace')[-4000:]}")
            yield
        finally:
            running.terminate()
            try:
                running.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def _listens(running: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + _STARTS_WITHIN_S
    while running.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False
