"""Cloud Storage keeps every store's promises, on an emulator behind a gate that checks who asks."""

from __future__ import annotations

import uuid

import pytest

from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.contracts.storage import StorageContract
from tests.emulators.gcs_gate import GcsGate


@pytest.fixture
def bucket(gcs: GcsGate) -> str:
    """A new, empty bucket."""
    name = f"videos-{uuid.uuid4().hex[:12]}"
    gcs.make_bucket(name)
    return name


class TestGcsStorage(StorageContract):
    """The contract, with a service account's key."""

    @pytest.fixture
    def storage(self, gcs: GcsGate, bucket: str) -> Storage:
        options = StorageOptions(endpoint_url=gcs.url, credentials=gcs.service_account)
        return open_storage(f"gs://{bucket}/in here/", options)
