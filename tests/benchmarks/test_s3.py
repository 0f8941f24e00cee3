"""What S3 costs us, against boto3 as it comes, in one run and per CPU second of this process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config

from tasks.storage.s3 import S3Storage
from tests.benchmarks.canned import serving
from tests.benchmarks.canned_s3 import bucket_of
from tests.benchmarks.cpu import cpu_s

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

LISTED = 100_000
WRITTEN = 5_000
BODY = b'{"frame": 0, "objects": []}' * 20


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("tests.benchmarks.canned_s3") as address:
        yield address


def session() -> boto3.Session:
    return boto3.Session("key", "secret", region_name="eu-west-1")


def plain_client(url: str) -> Any:
    """boto3 as it comes, with as many connections as threads."""
    return session().client("s3", endpoint_url=url, config=Config(signature_version="s3v4", max_pool_connections=32))


def test_listing_costs_at_most_a_third_of_boto3s(url: str) -> None:
    """A hundred thousand objects with their full identity: version, size, time and class."""
    bucket = bucket_of(LISTED)
    store, client = S3Storage(bucket, session=session(), endpoint_url=url), plain_client(url)

    def plain() -> None:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        assert LISTED == sum(bool(each["ETag"] and each["LastModified"]) for page in pages for each in page["Contents"])

    def listed() -> None:
        assert LISTED == sum(bool(found.version and found.modified) for found in store.list())

    theirs, ours = cpu_s(plain), cpu_s(listed)
    print(f"\nlisting {LISTED:,} objects: boto3 {theirs:.2f} s, ours {ours:.2f} s of CPU: {ours / theirs:.2f} of it")
    assert ours <= theirs / 3


def test_listing_a_million_objects_holds_memory_flat(url: str) -> None:
    """What the process holds after a million objects is what it held after fifty thousand."""
    store = S3Storage(bucket_of(1_000_000), session=session(), endpoint_url=url)
    process = psutil.Process()
    sizes = [process.memory_info().rss for count, _ in enumerate(store.list(), 1) if count % 50_000 == 0]
    assert 20 == len(sizes)
    early, most = sizes[0] / 2**20, max(sizes) / 2**20
    print(f"\nlisting 1,000,000 objects: {early:.1f} MiB after 50,000, at most {most:.1f} MiB")
    assert most - early < 10


def test_small_writes_are_five_times_boto3s_per_cpu_second(url: str) -> None:
    """Five thousand small JSON files, against boto3 with threads."""
    store, client = S3Storage("bucket", session=session(), endpoint_url=url), plain_client(url)

    def plain() -> None:
        with ThreadPoolExecutor(16) as pool:
            for written in pool.map(
                lambda number: client.put_object(
                    Bucket="bucket", Key=f"frames/{number:05}.json", Body=BODY, ContentType="application/json"
                ),
                range(WRITTEN),
            ):
                assert written["ETag"]

    def ours() -> None:
        items = ((f"frames/{number:05}.json", BODY) for number in range(WRITTEN))
        assert WRITTEN == store.write_many(items, content_type="application/json")

    theirs_s, ours_s = cpu_s(plain), cpu_s(ours)
    print(
        f"\n{WRITTEN:,} small writes: boto3 {WRITTEN / theirs_s:,.0f}, ours {WRITTEN / ours_s:,.0f} per CPU second:"
        f" {theirs_s / ours_s:.1f} times"
    )
    assert theirs_s >= 5 * ours_s
