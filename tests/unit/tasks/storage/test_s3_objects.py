"""What S3 holds is listed and read as it is: versions, classes, times, types, and many pages of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import boto3
import pytest
from botocore.config import Config

from tasks.domain.errors import AccessDenied, ObjectMissing
from tasks.storage.base import WRITE_CHECK_KEY, ObjectInfo
from tasks.storage.filters import Filter, Tally, select
from tasks.storage.registry import StorageOptions, open_storage
from tasks.storage.s3 import S3Storage
from tests.contracts.storage_keys import SPECIAL_KEYS
from tests.emulators.proxy import Answer, Fault
from tests.emulators.s3 import S3Emulator


@pytest.fixture
def bucket(s3: S3Emulator) -> str:
    return s3.new_bucket()


@pytest.fixture
def store(s3: S3Emulator, bucket: str) -> S3Storage:
    return S3Storage(bucket, "in/", session=s3.session, endpoint_url=s3.faults.url)


def test_pages_are_asked_for_as_they_are_needed(store: S3Storage, s3: S3Emulator) -> None:
    """2,600 keys take three requests of a thousand; leaving after the first object takes at most two."""
    names = [f"{number:05}" for number in range(2_600)]
    assert 2_600 == store.write_many(((name, b"") for name in names), content_type="text/plain")
    s3.faults.seen.clear()
    assert names == [found.key for found in store.list()]
    assert 3 == len(s3.faults.seen)
    s3.faults.seen.clear()
    listing = store.list("02")
    assert [] == s3.faults.seen
    assert "02000" == next(listing).key
    assert ["02001", "02599"] == [found.key for found in listing][::598]
    assert 1 == len(s3.faults.seen)
    s3.faults.seen.clear()
    assert next(iter(store.list())).key == names[0]
    assert len(s3.faults.seen) <= 2


def test_listing_is_in_byte_order(store: S3Storage) -> None:
    """Keys come in the order of their UTF-8 bytes."""
    for key in SPECIAL_KEYS:
        store.write(key, b"x")
    listed = [found.key for found in store.list()]
    assert sorted(SPECIAL_KEYS, key=str.encode) == listed


def test_a_listing_tells_what_plain_boto3_tells(store: S3Storage, s3: S3Emulator, bucket: str) -> None:
    """The fast parser and botocore's own agree on every field of every special key."""
    for key in SPECIAL_KEYS:
        store.write(key, key.encode())
    pages = s3.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
    plain = [
        ObjectInfo(
            each["Key"].removeprefix("in/"),
            f"s3://{bucket}/{each['Key']}",
            each["ETag"].strip('"'),
            each["Size"],
            each["LastModified"].astimezone(UTC).replace(microsecond=0),
        )
        for page in pages
        for each in page["Contents"]
    ]
    assert plain == list(store.list())


def test_an_answer_that_is_no_xml_is_asked_for_again(store: S3Storage, s3: S3Emulator) -> None:
    """A proxy's page in place of a listing is trouble that passes."""
    store.write("key", b"x")
    left = [Fault(answer=Answer(200, b"<html><p>Please log in</html>"))]
    s3.faults.fault = lambda request: left.pop() if left else None
    assert ["key"] == [found.key for found in store.list()]


def test_a_replaced_object_is_another_version(store: S3Storage) -> None:
    """Other bytes under the same name show in the listing, and a deleted object is missing."""
    first = store.write("key", b"1")
    (listed,) = store.list()
    second = store.write("key", b"2")
    assert (first, second) == (listed.version, store.stat("key").version)
    assert first != second
    store.delete("key")
    with pytest.raises(ObjectMissing) as caught:
        store.read("key")
    assert caught.value.hint


def test_versions_of_large_objects_agree_too(store: S3Storage, tmp_path: Path) -> None:
    """An upload in parts has an ETag that is no digest: listing, stat and upload tell the same one."""
    (tmp_path / "source").write_bytes(bytes(17 << 20))
    version = store.upload("big", tmp_path / "source")
    assert [version] == [found.version for found in store.list()]
    assert store.write("big", b"small", if_match=version) == store.stat("big").version


def test_archived_objects_and_markers_are_left_out_with_a_count(store: S3Storage, s3: S3Emulator, bucket: str) -> None:
    """Tiers that must be restored first are listed as such and not offered; cold ones that read at once are."""
    for number, storage_class in enumerate(["STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]):
        s3.client.put_object(Bucket=bucket, Key=f"in/{number}.mp4", Body=b"x", StorageClass=storage_class)
    for marker in ("in/", "in/folder/"):
        s3.client.put_object(Bucket=bucket, Key=marker, Body=b"")
    tally = Tally()
    assert ["0.mp4", "1.mp4", "2.mp4"] == [video.name for video in select(store.list(), Filter(), tally)]
    assert {"archived": 2, "marker": 1} == tally.not_taken
    listed = {found.key: found for found in store.list()}
    assert ["", "STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"] == [
        listed[f"{number}.mp4"].storage_class for number in range(5)
    ]
    assert listed["4.mp4"] == store.stat("4.mp4")
    with pytest.raises(AccessDenied) as caught:
        store.read("4.mp4")
    assert "restore" in caught.value.hint


LISTED = """<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Name>b</Name><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Contents><Key>in/a+b%2B.mp4</Key>
<LastModified>2026-11-21T02:00:00.987Z</LastModified><ETag>"e-3"</ETag><Size>5</Size>
<StorageClass>GLACIER</StorageClass>{restore}</Contents></ListBucketResult>"""
RESTORED = "<RestoreStatus><IsRestoreInProgress>{busy}</IsRestoreInProgress>{until}</RestoreStatus>"
UNTIL = "<RestoreExpiryDate>2026-12-01T00:00:00.000Z</RestoreExpiryDate>"


@pytest.mark.parametrize(
    ("restore", "archived"),
    [("", True), (RESTORED.format(busy="true", until=""), True), (RESTORED.format(busy="false", until=UNTIL), False)],
)
def test_a_restored_object_is_no_longer_archived(
    store: S3Storage, s3: S3Emulator, restore: str, archived: bool
) -> None:
    """Its class stays Glacier's, but it can be read; one whose restore is under way cannot."""
    body = LISTED.format(restore=restore).encode()
    s3.faults.fault = lambda request: Fault(answer=Answer(200, body, {"Content-Type": "application/xml"}))
    moment = datetime(2026, 11, 21, 2, tzinfo=UTC)
    assert [ObjectInfo("a b+.mp4", ANY, "e-3", 5, moment, "GLACIER", archived)] == list(store.list())


@pytest.mark.parametrize("key", ["plain.json", "double//slash.json"])
def test_content_types_are_set(store: S3Storage, s3: S3Emulator, bucket: str, key: str, tmp_path: Path) -> None:
    """One by one, in bulk and from a file, an object says what it is."""
    (tmp_path / "source").write_bytes(b"{}")
    for write in (
        lambda: store.write(key, b"{}", content_type="application/json"),
        lambda: store.write_many(iter([(key, b"{}")]), content_type="application/json"),
        lambda: store.upload(key, tmp_path / "source", content_type="application/json"),
    ):
        write()
        assert "application/json" == s3.client.head_object(Bucket=bucket, Key=f"in/{key}")["ContentType"]
        store.delete(key)


def test_a_store_that_knows_no_ranges_is_read_all_the_same(store: S3Storage, s3: S3Emulator) -> None:
    """Some compatible servers answer a range with everything; the range is cut out of it."""
    s3.faults.fault = lambda request: Fault(answer=Answer(200, b"0123456789", {"ETag": '"e"'}))
    assert (b"234", b"89", b"") == (store.read("key", 2, 3), store.read("key", 8), store.read("key", 20, 5))


def test_the_root_of_a_bucket_is_a_root(s3: S3Emulator, bucket: str) -> None:
    """Without a prefix keys are the bucket's own, and with a strange one they are taken verbatim."""
    for uri in (f"s3://{bucket}", f"s3://{bucket}/a b//%20é"):
        store = open_storage(uri, StorageOptions(endpoint_url=s3.url, credentials=s3.session))
        store.write_many(iter([("key", b"x")]), content_type="text/plain")
        assert [(f"{uri}/key", "key")] == [(found.uri, found.key) for found in store.list("k")]
    listed = s3.client.list_objects_v2(Bucket=bucket)["Contents"]
    assert ["a b//%20é/key", "key"] == [each["Key"] for each in listed]


# --- the right to write -----------------------------------------------------------------------


def test_looking_whether_one_may_write_writes_nothing(store: S3Storage, s3: S3Emulator) -> None:
    """The condition that never holds is refused, with an object of that name and without."""
    assert store.check_write() is True
    assert [] == list(store.list())
    version = store.write(WRITE_CHECK_KEY, b"somebody's")
    store.check_write()
    assert version == store.stat(WRITE_CHECK_KEY).version


def test_a_store_that_knows_no_conditions_is_left_clean(store: S3Storage, s3: S3Emulator) -> None:
    """Where the write goes through after all, it is taken back."""
    s3.faults.fault = lambda request: (
        Fault(answer=Answer(200, b"", {"ETag": '"e"'})) if request.method == "PUT" else None
    )
    assert store.check_write() is False
    assert [f"DELETE /{store.root.removeprefix('s3://')}{WRITE_CHECK_KEY}"] == s3.faults.seen[1:]


def limited(s3: S3Emulator, bucket: str, name: str, *actions: str) -> boto3.Session:
    """A user who may do some things only."""
    iam: Any = s3.session.client("iam", endpoint_url=s3.url, config=Config(retries={"max_attempts": 0}))
    iam.create_user(UserName=name)
    statement = {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="eu-west-1")


def test_missing_rights_are_named(s3: S3Emulator, bucket: str) -> None:
    """A reader is told which right it lacks to write, and a writer which it lacks to list."""
    reader = S3Storage(
        bucket, session=limited(s3, bucket, "reader", "s3:GetObject", "s3:ListBucket"), endpoint_url=s3.url
    )
    assert [] == list(reader.list())
    with pytest.raises(AccessDenied) as caught:
        reader.check_write()
    assert "s3:PutObject" in caught.value.hint
    writer = S3Storage(bucket, session=limited(s3, bucket, "writer", "s3:PutObject"), endpoint_url=s3.url)
    writer.check_write()
    writer.write("key", b"x")
    with pytest.raises(AccessDenied) as caught:
        list(writer.list())
    assert "s3:ListBucket" in caught.value.hint
    assert b"x" == reader.read("key")
