"""Which hashes of a store are of an object's whole content, and which only look like it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from tasks.storage.azure_blob import AzureBlobStorage
from tasks.storage.content import of_s3_head
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tasks.storage.s3 import S3Storage
from tests.emulators.azure import AzureEmulator
from tests.emulators.s3 import S3Emulator

DATA = b"film" * 1000
MD5 = hashlib.md5(DATA).hexdigest()
SHA256 = hashlib.sha256(DATA)
WHOLE = {"ChecksumSHA256": base64.b64encode(SHA256.digest()).decode(), "ChecksumType": "FULL_OBJECT"}
PARTS = {"ChecksumSHA256": f"{WHOLE['ChecksumSHA256']}-3", "ChecksumType": "COMPOSITE"}
AES, KMS = {"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms"}
CUSTOMER = {"SSECustomerAlgorithm": "AES256"}


@pytest.mark.parametrize(
    ("head", "is_aws", "expected"),
    [
        ({"ETag": f'"{MD5}"'}, True, f"md5:{MD5}"),
        ({"ETag": f'"{MD5}"', **AES}, True, f"md5:{MD5}"),
        ({"ETag": f'"{MD5}"', **KMS}, True, ""),
        ({"ETag": f'"{MD5}"', "ServerSideEncryption": "aws:kms:dsse"}, True, ""),
        ({"ETag": f'"{MD5}"', **CUSTOMER}, True, ""),
        ({"ETag": f'"{MD5}-3"', **AES}, True, ""),
        ({"ETag": f'"{MD5}"'}, False, ""),
        ({"ETag": f'"{MD5}"', **WHOLE}, False, f"sha256:{SHA256.hexdigest()}"),
        ({"ETag": f'"{MD5}"', **KMS, **WHOLE}, True, f"sha256:{SHA256.hexdigest()}"),
        ({"ETag": f'"{MD5}-3"', **PARTS}, True, ""),
        ({"ETag": f'"{MD5}-3"', "ChecksumSHA256": PARTS["ChecksumSHA256"]}, True, ""),
        ({"ETag": f'"{MD5}-3"', "ChecksumCRC64NVME": "AAAAAAAAAAA=", "ChecksumType": "FULL_OBJECT"}, True, ""),
        ({}, True, ""),
    ],
)
def test_what_a_head_of_s3_tells(head: dict[str, Any], is_aws: bool, expected: str) -> None:
    """An ETag counts where AWS says that it is an MD5; a checksum, where it is a strong one and of the whole."""
    assert expected == of_s3_head(head, is_aws=is_aws)


def test_a_checksum_that_s3_keeps_is_found(s3: S3Emulator) -> None:
    """Uploaded with a SHA-256, an object has it, at any store; copies of it too."""
    bucket = s3.new_bucket()
    store = S3Storage(bucket, "in/", session=s3.session, endpoint_url=s3.url)
    s3.client.put_object(Bucket=bucket, Key="in/a.mp4", Body=DATA, ChecksumAlgorithm="SHA256")
    assert f"sha256:{SHA256.hexdigest()}" == store.content_hash("a.mp4", store.stat("a.mp4").version)


def test_a_blob_that_is_appended_to_has_no_hash(azure: AzureEmulator) -> None:
    """Its Content-MD5 stays that of the beginning."""
    container = azure.new_container()
    store = open_storage(f"az://{container}/", StorageOptions(credentials=azure.connection_string()))
    assert isinstance(store, AzureBlobStorage)
    store.write("b.mp4", DATA)
    blob = store._blob("a.mp4")
    blob.create_append_blob()
    blob.append_block(DATA)
    assert "" == store.content_hash("a.mp4", store.stat("a.mp4").version)
    assert f"md5:{MD5}" == store.content_hash("b.mp4", store.stat("b.mp4").version)


def test_a_file_is_read_once_and_whole(tmp_path: Path) -> None:
    """Its hash is that of its bytes."""
    (tmp_path / "a.mp4").write_bytes(DATA)
    store = open_storage(f"file://{tmp_path}/")
    assert f"sha256:{SHA256.hexdigest()}" == store.content_hash("a.mp4", store.stat("a.mp4").version)
