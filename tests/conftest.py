"""What all tests share: how properties are searched, and servers that are each started once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.emulators import azure as azure_emulator
from tests.emulators import gcs as gcs_emulator
from tests.emulators import s3 as s3_emulator
from tests.emulators.azure import AzureEmulator
from tests.emulators.gcs_gate import GcsGate
from tests.emulators.s3 import S3Emulator
from tests.postgres import PostgresServer, postgres_server

# No test asserts a duration, so no example has a deadline; in CI every run tries the same examples.
settings.register_profile("reelroute", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("reelroute")


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


@pytest.fixture(scope="session")
def running_azure() -> Iterator[AzureEmulator]:
    """Azure Blob Storage on loopback, for the whole session."""
    with azure_emulator.running() as emulator:
        yield emulator


@pytest.fixture
def azure(running_azure: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> AzureEmulator:
    """Azure Blob Storage without faults; nobody finds this machine's own credentials."""
    azure_emulator.hide_credentials(monkeypatch)
    running_azure.faults.reset()
    return running_azure


@pytest.fixture(scope="session")
def running_azure_by_tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureEmulator]:
    """Azure Blob Storage by https, which takes tokens, for the whole session."""
    with azure_emulator.running(tmp_path_factory.mktemp("certificate")) as emulator:
        yield emulator


@pytest.fixture
def azure_by_tokens(running_azure_by_tokens: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> AzureEmulator:
    """Azure Blob Storage by https, whose certificate is trusted for the test."""
    azure_emulator.hide_credentials(monkeypatch)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(running_azure_by_tokens.certificate))
    return running_azure_by_tokens


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, started by the first test that asks for it."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """API URL of a Prefect server of the tests' own; flows of this process use it too."""
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # Steps are also called outside of a flow here.
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=180),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield str(PREFECT_API_URL.value())
