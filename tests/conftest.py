"""Emulators of the clouds: each started once, by the first test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulators import gcs as gcs_emulator
from tests.emulators import s3 as s3_emulator
from tests.emulators.gcs_gate import GcsGate
from tests.emulators.s3 import S3Emulator


@pytest.fixture(scope="session")
def running_gcs() -> Iterator[GcsGate]:
    """Cloud Storage on loopback, for the whole session."""
    with gcs_emulator.running() as gate:
        yield gate


@pytest.fixture
def gcs(running_gcs: GcsGate, monkeypatch: pytest.MonkeyPatch) -> GcsGate:
    """Cloud Storage without faults; nobody finds this machine's own credentials."""
    gcs_emulator.hide_credentials(monkeypatch)
    running_gcs.reset()
    return running_gcs


@pytest.fixture(scope="session")
def running_s3() -> Iterator[S3Emulator]:
    """S3 on loopback, for the whole session."""
    with s3_emulator.running() as emulator:
        yield emulator


@pytest.fixture
def s3(running_s3: S3Emulator, monkeypatch: pytest.MonkeyPatch) -> S3Emulator:
    """S3 without faults; nobody finds this machine's own credentials."""
    s3_emulator.hide_credentials(monkeypatch)
    running_s3.faults.reset()
    return running_s3
