"""What Azure Blob Storage costs us, against its SDK as it comes, in one run and per CPU second of this process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from azure.storage.blob import ContainerClient, ContentSettings

from tasks.storage.base import Storage
from tasks.storage.options import StorageOptions
from tasks.storage.registry import open_storage
from tests.benchmarks.canned import serving
from tests.benchmarks.canned_azure import container_of
from tests.benchmarks.cpu import cpu_s

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

LISTED = 100_000
WRITTEN = 5_000
BODY = b'{"frame": 0, "objects": []}' * 20


@pytest.fixture(scope="module")
def connection() -> Iterator[str]:
    with serving("tests.benchmarks.canned_azure") as address:
        yield f"AccountName=reelroute;AccountKey=a2V5;BlobEndpoint={address}/reelroute;"


def store_of(count: int, connection: str) -> Storage:
    return open_storage(f"az://{container_of(count)}/", StorageOptions(credentials=connection))


def test_listing_costs_at_most_a_third_of_the_sdks(connection: str) -> None:
    """A hundred thousand blobs with their full identity: ETag, size, time and tier."""
    store = store_of(LISTED, connection)
    client = ContainerClient.from_connection_string(connection, container_of(LISTED))

    def plain() -> None:
        assert LISTED == sum(bool(found.etag and found.last_modified) for found in client.list_blobs())

    def listed() -> None:
        assert LISTED == sum(bool(found.version and found.modified) for found in store.list())

    theirs, ours = cpu_s(plain, rounds=1), cpu_s(listed)
    print(f"\nlisting {LISTED:,} blobs: list_blobs {theirs:.2f} s, ours {ours:.2f} s of CPU: {ours / theirs:.2f} of it")
    assert ours <= theirs / 3


def test_listing_a_million_blobs_holds_memory_flat(connection: str) -> None:
    """What the process holds after a million blobs is what it held after fifty thousand."""
    process = psutil.Process()
    listing = store_of(1_000_000, connection).list()
    sizes = [process.memory_info().rss for count, _ in enumerate(listing, 1) if count % 50_000 == 0]
    assert 20 == len(sizes)
    early, most = sizes[0] / 2**20, max(sizes) / 2**20
    print(f"\nlisting 1,000,000 blobs: {early:.1f} MiB after 50,000, at most {most:.1f} MiB")
    assert most - early < 30


def test_small_writes_are_five_times_the_sdks_per_cpu_second(connection: str) -> None:
    """Five thousand small JSON files, against azure-storage-blob with threads."""
    store = store_of(0, connection)
    client = ContainerClient.from_connection_string(connection, container_of(0))
    settings = ContentSettings("application/json")

    def put(number: int) -> None:
        client.upload_blob(f"frames/{number:05}.json", BODY, overwrite=True, content_settings=settings)

    def plain() -> None:
        with ThreadPoolExecutor(16) as pool:
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
