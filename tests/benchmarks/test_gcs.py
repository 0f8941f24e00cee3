"""What Cloud Storage costs us, against its SDK as it comes, in one run and per CPU second of this process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as sdk

from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.benchmarks.canned import serving
from tests.benchmarks.canned_gcs import bucket_of
from tests.benchmarks.cpu import cpu_s

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

LISTED = 100_000
WRITTEN = 5_000
BODY = b'{"frame": 0, "objects": []}' * 20


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("tests.benchmarks.canned_gcs") as address:
        yield address


def store_of(count: int, url: str) -> Storage:
    options = StorageOptions(endpoint_url=url, credentials=AnonymousCredentials())
    return open_storage(f"gs://{bucket_of(count)}/", options)


def client_of(url: str) -> sdk.Client:
    """google-cloud-storage as it comes."""
    return sdk.Client("project", AnonymousCredentials(), client_options={"api_endpoint": url})


def test_listing_costs_no_more_than_the_sdks(url: str) -> None:
    """A hundred thousand objects with their full identity: the SDK is quick, asked for the right fields."""
    store, client = store_of(LISTED, url), client_of(url)

    def plain() -> None:
        found = client.list_blobs(bucket_of(LISTED))
        assert LISTED == sum(bool(each.generation and each.updated) for each in found)

    def listed() -> None:
        assert LISTED == sum(bool(found.version and found.modified) for found in store.list())

    theirs, ours = cpu_s(plain), cpu_s(listed)
    print(
        f"\nlisting {LISTED:,} objects: list_blobs {theirs:.2f} s, ours {ours:.2f} s of CPU: {ours / theirs:.2f} of it"
    )
    assert ours <= 1.5 * theirs


def test_listing_a_million_objects_holds_memory_flat(url: str) -> None:
    """What the process holds after a million objects is what it held after fifty thousand."""
    process = psutil.Process()
    listing = store_of(1_000_000, url).list()
    sizes = [process.memory_info().rss for count, _ in enumerate(listing, 1) if count % 50_000 == 0]
    assert 20 == len(sizes)
    early, most = sizes[0] / 2**20, max(sizes) / 2**20
    print(f"\nlisting 1,000,000 objects: {early:.1f} MiB after 50,000, at most {most:.1f} MiB")
    assert most - early < 10


def test_small_writes_are_five_times_the_sdks_per_cpu_second(url: str) -> None:
    """Five thousand small JSON files, against google-cloud-storage with threads."""
    store = store_of(0, url)
    bucket = client_of(url).bucket(bucket_of(0))

    def put(number: int) -> None:
        bucket.blob(f"frames/{number:05}.json").upload_from_string(BODY, "application/json", checksum=None)

    def plain() -> None:
        with ThreadPoolExecutor(8) as pool:
            assert WRITTEN == sum(1 for _ in pool.map(put, range(WRITTEN)))

    def ours() -> None:
        items = ((f"frames/{number:05}.json", BODY) for number in range(WRITTEN))
        assert WRITTEN == store.write_many(items, content_type="application/json")

    theirs_s, ours_s = cpu_s(plain, rounds=1), cpu_s(ours)
    print(
        f"\n{WRITTEN:,} small writes: SDK {WRITTEN / theirs_s:,.0f}, ours {WRITTEN / ours_s:,.0f} per CPU second:"
        f" {theirs_s / ours_s:.1f} times"
    )
    assert theirs_s >= 5 * ours_s
