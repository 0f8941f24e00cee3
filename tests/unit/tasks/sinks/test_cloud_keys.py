"""Odd keys reach the sinks' outputs in every cloud: what a video is called, its results are called."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path

from tasks.sinks.labelbox.sink import LabelboxFileSink
from tasks.sinks.labelbox.style import Style
from tasks.sinks.lightly.sink import LightlySink
from tasks.sinks.results import ResultsSink
from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.contracts.deliveries import Box, make_delivery
from tests.contracts.storage_keys import SPECIAL_KEYS
from tests.emulators.azure import AzureEmulator
from tests.emulators.gcs_gate import GcsGate
from tests.emulators.s3 import S3Emulator

# The Azure emulator makes a slash of a backslash; the store refuses such a key by name.
HELD_BY_AZURE = tuple(key for key in SPECIAL_KEYS if "\\" not in key)


def deliver_all(store: Storage, keys: tuple[str, ...], folder: Path) -> None:
    """Deliver a video of each name to three sinks and find each output under that name."""
    results = ResultsSink(store, write_parquet=lambda _, path: None, formats=("json",))
    labelbox = LabelboxFileSink(store, Style(max_gap=timedelta(seconds=1)))
    lightly = LightlySink(store, task_name="keys")
    for number, key in enumerate(keys):
        (folder / str(number)).mkdir()
        item = make_delivery(folder / str(number), [[Box(100, 100, 20, 20, track=1)]], name=key)
        results.deliver(item)
        labelbox.deliver(item)
        receipt = lightly.deliver(item)
        assert item.results_file.read_bytes() == gzip.decompress(store.read(f"{key}.json.gz"))
        assert 1 == len(store.read(f"{key}.ndjson").splitlines())
        # Keys that end like no video that LightlyOne reads are left out with a warning.
        assert is_a_video(key) != bool(receipt.warnings)
    frames = [found.key for found in store.list(".lightly/predictions/keys/") if not found.key.endswith("schema.json")]
    names = {json.loads(store.read(frame))["file_name"] for frame in frames}
    assert len([key for key in keys if is_a_video(key)]) == len(frames) == len(names)


def is_a_video(key: str) -> bool:
    """Whether LightlyOne would read it: `.mp4` alone is a hidden file, not a suffix."""
    return key.endswith(".mp4") and not key.endswith("/.mp4")


def test_every_special_key_is_delivered_to_s3(s3: S3Emulator, tmp_path: Path) -> None:
    """All 29, without exception."""
    options = StorageOptions(endpoint_url=s3.url, credentials=s3.session)
    deliver_all(open_storage(f"s3://{s3.new_bucket()}/out/", options), SPECIAL_KEYS, tmp_path)


def test_every_special_key_is_delivered_to_cloud_storage(gcs: GcsGate, tmp_path: Path) -> None:
    """All 29, without exception."""
    gcs.make_bucket("odd-keys")
    options = StorageOptions(endpoint_url=gcs.url, credentials=gcs.service_account)
    deliver_all(open_storage("gs://odd-keys/out/", options), SPECIAL_KEYS, tmp_path)


def test_every_special_key_is_delivered_to_azure(azure: AzureEmulator, tmp_path: Path) -> None:
    """All but the one with a backslash."""
    options = StorageOptions(credentials=azure.connection_string())
    deliver_all(open_storage(f"az://{azure.new_container()}/out/", options), HELD_BY_AZURE, tmp_path)


def test_the_exception_is_the_one_that_is_named() -> None:
    """One key of all is not held by Azure."""
    assert {"back\\slash.mp4"} == set(SPECIAL_KEYS) - set(HELD_BY_AZURE)
