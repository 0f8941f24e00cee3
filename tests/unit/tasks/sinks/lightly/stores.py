"""An empty datasource in each kind of store, opened anew by whoever writes, as separate runs do."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.emulators.azure import AzureEmulator
from tests.emulators.gcs_gate import GcsGate
from tests.emulators.s3 import S3Emulator

Opener = Callable[[], Storage]
STORES = ("file", "s3", "gcs", "azure")


def opener(kind: str, request: pytest.FixtureRequest, folder: Path) -> Opener:
    """Opens one new datasource of a kind of store, as often as it is called."""
    if kind == "file":
        return lambda: open_storage(f"file://{folder}/datasource/", StorageOptions(create=True))
    emulator = request.getfixturevalue(kind)
    uri, options = _BUCKETS[kind](emulator)
    return lambda: open_storage(f"{uri}lightly/", options)


def _s3(emulator: S3Emulator) -> tuple[str, StorageOptions]:
    return f"s3://{emulator.new_bucket()}/", StorageOptions(endpoint_url=emulator.url, credentials=emulator.session)


def _gcs(gate: GcsGate) -> tuple[str, StorageOptions]:
    bucket = f"lightly-{uuid.uuid4().hex[:12]}"
    gate.make_bucket(bucket)
    return f"gs://{bucket}/", StorageOptions(endpoint_url=gate.url, credentials=gate.service_account)


def _azure(emulator: AzureEmulator) -> tuple[str, StorageOptions]:
    return f"az://{emulator.new_container()}/", StorageOptions(credentials=emulator.connection_string())


_BUCKETS: dict[str, Callable[..., tuple[str, StorageOptions]]] = {"s3": _s3, "gcs": _gcs, "azure": _azure}
