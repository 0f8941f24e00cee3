"""A bucket of S3, or of a store that speaks its protocol, as a store.

boto3 owns credentials, listing, signing and single objects; obstore writes the many small ones.
An object's version is its ETag, which a listing, a stat and a write all tell, unlike its
version id.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tasks.domain.errors import AccessDenied, InputInvalid, ObjectMissing, PreconditionFailed, StorageUnavailable
from tasks.domain.video import SignedUrl, printable
from tasks.storage import content
from tasks.storage.base import WRITE_CHECK_KEY, ConditionsUnknown, ObjectInfo
from tasks.storage.object_keys import check_key
from tasks.storage.options import StorageOptions
from tasks.storage.paging import prefetched
from tasks.storage.s3_connection import S3Connection
from tasks.storage.s3_errors import code_of, status_of, translated
from tasks.storage.s3_listing import class_and_archived, listed_moment
from tasks.storage.small_objects import write_all
from tasks.storage.streaming import download_to

_Page = list[dict[str, str]]
_PIECE_BYTES = 1 << 17  # what a reset loses at most
_PARTS = TransferConfig(multipart_threshold=16 << 20, multipart_chunksize=16 << 20, max_concurrency=4)
_READ_ATTEMPTS = 3
_NO_VERSION = "0" * 32
# The id of what was written while versions were not kept; the next such write replaces it.
_UNVERSIONED = "null"
# What compatible stores answer that do not know a header.
_UNKNOWN_CONDITION = (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED)
_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")

log = logging.getLogger(__name__)


def open_uri(uri: str, options: StorageOptions) -> S3Storage:
    """Open ``s3://bucket/prefix/``; the prefix is taken verbatim.

    Raises:
        InputInvalid: ``options.credentials`` is something else than a boto3 session.
    """
    if not isinstance(options.credentials, boto3.Session | None):
        raise InputInvalid(
            f"{printable(uri)} takes AWS credentials, not {type(options.credentials).__name__}",
            hint="name an AwsCredentials block",
        )
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return S3Storage(bucket, prefix, session=options.credentials, endpoint_url=options.endpoint_url)


class S3Storage:
    """A prefix of a bucket as :class:`tasks.storage.base.Storage`.

    Without any credentials, requests are anonymous and signed URLs are plain ones: public buckets.

    Args:
        prefix: Of all keys, verbatim: "" or with its trailing slash.
        session: Where credentials and region come from; None for boto3's own chain.
        endpoint_url: Of an S3-compatible store; None for AWS.
    """

    def __init__(
        self, bucket: str, prefix: str = "", *, session: boto3.Session | None = None, endpoint_url: str | None = None
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._connection = S3Connection(bucket, session, endpoint_url)
        self._may_read_versions: bool | None = None

    def __repr__(self) -> str:
        return f"S3Storage({self.root!r})"

    @property
    def root(self) -> str:
        """``s3://bucket/prefix/``."""
        return f"s3://{self._bucket}/{self._prefix}"

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Stream objects in byte order of their keys, the next thousand on their way."""
        for page in prefetched(self._pages(self._prefix + prefix)):
            for entry in page:
                key = entry["Key"][len(self._prefix) :]
                if not key:
                    continue  # the root's own marker
                storage_class, archived = class_and_archived(
                    entry.get("StorageClass", ""), restored=entry.get("IsRestoreInProgress") == "false"
                )
                yield ObjectInfo(
                    key,
                    self.root + key,
                    _version(entry["ETag"]),
                    int(entry["Size"]),
                    listed_moment(entry["LastModified"]),
                    storage_class,
                    archived,
                )

    def _pages(self, prefix: str) -> Iterator[_Page]:
        with translated("list", self.root):
            client = self._connection.client
            # Compatible stores may refuse what they do not know.
            restored = {"OptionalObjectAttributes": ["RestoreStatus"]} if self._connection.is_aws else {}
            paginator = client.get_paginator("list_objects_v2")
            for page in paginator.paginate(Bucket=self._bucket, Prefix=prefix, **restored):
                yield page.get("Contents", [])

    def stat(self, key: str) -> ObjectInfo:
        """Say what is there now."""
        place = self._place(key)
        with translated("read", self.root + key):
            return self._told(key, self._head(place))

    def _head(self, place: dict[str, Any], **more: str) -> Any:
        try:
            return self._connection.client.head_object(**place, **more)
        except ClientError as error:
            if code_of(error) != "404":
                # A HEAD's refusal has no body to tell the reason; a GET's has.
                self._connection.client.get_object(**place, Range="bytes=0-0")["Body"].close()
            raise

    def content_hash(self, key: str, version: str) -> str:
        """The MD5 that an ETag is, where it surely is one, or a SHA-256 of the whole; by one HEAD."""
        with translated("read", self.root + key):
            found = self._head(self._place(key), ChecksumMode="ENABLED")
        content.same_version(self._told(key, found), version)
        is_express = self._bucket.endswith("--x-s3")  # whose ETags are random
        return content.of_s3_head(found, is_aws=self._connection.is_aws and not is_express)

    def _told(self, key: str, found: Any) -> ObjectInfo:
        storage_class, archived = class_and_archived(
            found.get("StorageClass", ""), restored='ongoing-request="false"' in found.get("Restore", "")
        )
        version_id = found.get("VersionId", "")
        return ObjectInfo(
            key,
            self.root + key,
            _version(found["ETag"]),
            found["ContentLength"],
            found["LastModified"].astimezone(UTC),
            storage_class,
            archived,
            "" if version_id == _UNVERSIONED else version_id,
        )

    def sign(self, key: str, lifetime: timedelta, version_id: str = "") -> SignedUrl:
        """Sign a GET with SigV4; it ends when temporary credentials do.

        The first call asks AWS for the bucket's region, and the first with a ``version_id`` the store for
        the right to read versions. Whether the object exists shows when the URL is fetched.
        """
        place = self._place(key)
        bound = bool(version_id) and self._reads_versions(key, version_id)
        if bound:
            place["VersionId"] = version_id
        if lifetime <= timedelta(0):
            raise ValueError("lifetime must be positive")
        with translated("read", self.root + key):
            client = self._connection.home_client
            now = datetime.now(UTC)
            effective = self._connection.lifetime(lifetime)
            seconds = max(int((effective or lifetime).total_seconds()), 1)
            url = client.generate_presigned_url("get_object", Params=place, ExpiresIn=seconds)
        return SignedUrl(url, None if effective is None else now + timedelta(seconds=seconds), bound)

    def _reads_versions(self, key: str, version_id: str) -> bool:
        """Whether the credentials may read an object by its version's id: a right of its own, asked for once."""
        if self._may_read_versions is None:
            try:
                with translated("read", self.root + key):
                    self._connection.client.head_object(**self._place(key), VersionId=version_id)
            except ObjectMissing:
                return False  # this one went away just now
            except AccessDenied:
                log.warning("%s: signed URLs are not bound to versions; allow s3:GetObjectVersion", self.root)
                self._may_read_versions = False
            else:
                self._may_read_versions = True
        return self._may_read_versions

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range in one request; a broken answer is asked for again."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length must not be negative")
        if length == 0:
            self.stat(key)
            return b""
        place = self._place(key)
        for _ in range(_READ_ATTEMPTS):
            with translated("read", self.root + key):
                answer = self._range(place, start, length)
            if answer is None:
                return b""
            try:
                with translated("read", self.root + key), closing(answer["Body"]) as body:
                    data = body.read()
            except StorageUnavailable:
                continue  # until here botocore has tried again by itself
            if (part := _part(data, answer.get("ContentRange", ""), start, length)) is not None:
                return part
        raise StorageUnavailable(f"cannot read {printable(self.root + key)}: the connection breaks again and again")

    def _range(self, place: dict[str, str], start: int, length: int | None) -> dict[str, Any] | None:
        """The answer to a request for a range; None where the object ends before it."""
        last = "" if length is None else start + length - 1
        try:
            answer: dict[str, Any] = self._connection.client.get_object(**place, Range=f"bytes={start}-{last}")
        except ClientError as error:
            if code_of(error) in ("InvalidRange", "416"):
                return None
            raise
        return answer

    def download(self, key: str, target: Path) -> None:
        """Stream the object as it is now to a file, going on where a connection breaks."""
        found = self.stat(key)
        place = self._place(key)

        def stream(start: int) -> Iterator[bytes]:
            with translated("read", found.uri):
                answer = self._connection.client.get_object(
                    **place, IfMatch=f'"{found.version}"', **({"Range": f"bytes={start}-"} if start else {})
                )
                with closing(answer["Body"]) as body:
                    yield from body.iter_chunks(_PIECE_BYTES)

        try:
            download_to(target, found.size, stream)
        except PreconditionFailed:
            raise StorageUnavailable(f"{printable(found.uri)} changed while it was read") from None

    def write(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_match: str | None = None
    ) -> str:
        """Write the whole object at once and return its new ETag."""
        place = self._place(key)
        condition = {} if if_match is None else {"IfMatch": f'"{if_match}"'} if if_match else {"IfNoneMatch": "*"}
        with translated("write", self.root + key):
            try:
                answer = self._connection.client.put_object(**place, Body=data, ContentType=content_type, **condition)
            except ClientError as error:
                if condition and status_of(error) == HTTPStatus.NOT_IMPLEMENTED:
                    raise ConditionsUnknown(
                        f"cannot write {printable(self.root + key)}: the store knows no conditional writes"
                    ) from None
                if not condition or not _says_other(error):
                    raise
                if _was_retried(error) and (mine := self._holding(key, data)):
                    return mine  # the answer to our own write was lost
                raise PreconditionFailed(f"somebody else wrote {printable(self.root + key)} first") from None
        return _version(answer["ETag"])

    def _holding(self, key: str, data: bytes) -> str:
        """The version of the object if it holds exactly ``data``, else ""."""
        with suppress(ObjectMissing):
            found = self.stat(key)
            if found.size == len(data) and self.read(key) == data:
                return found.version
        return ""

    def upload(self, key: str, source: Path, *, content_type: str = "application/octet-stream") -> str:
        """Write a large object from a local file, in parts from 16 MiB on; all of it appears, or nothing."""
        place = self._place(key)
        try:
            with source.open("rb") as file, translated("write", self.root + key):
                self._connection.client.upload_fileobj(
                    file, place["Bucket"], place["Key"], ExtraArgs={"ContentType": content_type}, Config=_PARTS
                )
        except OSError as error:
            raise InputInvalid(f"cannot read {printable(str(source))}: {error.strerror}") from None
        return self.stat(key).version

    def write_many(self, items: Iterator[tuple[str, bytes]], *, content_type: str) -> int:
        """Write many small objects, 32 at a time; return how many."""
        with translated("write", self.root):
            bulk = self._connection.bulk
        return write_all(
            bulk,
            items,
            prefix=self._prefix,
            content_type=content_type,
            by_sdk=lambda key, data: self.write(key, data, content_type=content_type),
        )

    def delete(self, key: str) -> None:
        """Remove the object; where the bucket keeps versions, the old ones stay."""
        place = self._place(key)
        with suppress(ObjectMissing), translated("delete", self.root + key):
            self._connection.client.delete_object(**place)

    def check_write(self) -> bool:
        """Try a write that has to fail for its condition; the right to write is looked at before."""
        place = self._place(WRITE_CHECK_KEY)
        with suppress(PreconditionFailed, ObjectMissing), translated("write", self.root):
            try:
                self._connection.client.put_object(**place, Body=b"", IfMatch=f'"{_NO_VERSION}"')
            except ClientError as error:
                if status_of(error) not in _UNKNOWN_CONDITION:
                    raise
                self._connection.client.put_object(**place, Body=b"")  # refuses for any other reason once more
            # Who does not know conditions wrote it after all.
            self._connection.client.delete_object(**place)
            return False
        return True

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}


def _version(etag: str) -> str:
    return etag.strip('"')


def _part(data: bytes, told: str, start: int, length: int | None) -> bytes | None:
    """The bytes of a range out of an answer; None when fewer came than its Content-Range promised."""
    if not (total := _TOTAL.fullmatch(told)):
        # A store that knows no ranges sent everything.
        return data[start : None if length is None else start + length]
    most = int(total[1]) - start
    return data if len(data) == (most if length is None else min(length, most)) else None


def _says_other(error: ClientError) -> bool:
    """Whether a conditional write was refused because something else, or nothing, is there."""
    return code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "404")


def _was_retried(error: ClientError) -> bool:
    return bool(error.response.get("ResponseMetadata", {}).get("RetryAttempts"))
