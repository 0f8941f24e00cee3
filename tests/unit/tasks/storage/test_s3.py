"""S3Storage keeps the contract, on an emulator that checks signatures."""

from __future__ import annotations

import pytest

from tasks.storage.base import Storage
from tasks.storage.registry import StorageOptions, open_storage
from tests.contracts.storage import StorageContract
from tests.emulators.s3 import S3Emulator


class TestS3Storage(StorageContract):
    # Only at AWS itself is an ETag known to be an MD5; see test_content.py.
    hashes = False

    @pytest.fixture
    def storage(self, s3: S3Emulator) -> Storage:
        return open_storage(
            f"s3://{s3.new_bucket()}/root of it all/", StorageOptions(endpoint_url=s3.url, credentials=s3.session)
        )
