"""Azure Blob Storage keeps every store's promises, on an emulator that checks keys and signatures."""

from __future__ import annotations

import pytest

from tasks.storage import azure_listing
from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.contracts.storage import StorageContract
from tests.emulators.azure import AzureEmulator


class TestAzureBlobStorage(StorageContract):
    """The contract, with the account's key, in pages of a thousand."""

    # The service makes it a slash.
    refused_keys = frozenset({"back\\slash.mp4"})

    @pytest.fixture
    def storage(self, azure: AzureEmulator, monkeypatch: pytest.MonkeyPatch) -> Storage:
        monkeypatch.setattr(azure_listing, "PAGE", 1_000)
        options = StorageOptions(credentials=azure.connection_string())
        return open_storage(f"az://{azure.new_container()}/in here/", options)
