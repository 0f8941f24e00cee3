"""Google Cloud Storage buckets as stores, for ``gs://bucket/prefix/``.

google-cloud-storage owns credentials, listing, signing and single objects; obstore moves the
many small ones. A version is an object's generation. Other endpoints come from ``endpoint_url``
or STORAGE_EMULATOR_HOST. Without credentials only public buckets can be read; their URLs are plain.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import quote, urlsplit

import google.auth.exceptions
import requests.adapters
from google.api_core.exceptions import GoogleAPICallError
from google.api_core.exceptions import PreconditionFailed as Vendor412
from google.auth.credentials import AnonymousCredentials, Credentials, Signing
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from obstore.store import GCSStore

from tasks.domain.errors import InputInvalid, NotSignable, ObjectMissing, PreconditionFailed, StorageUnavailable
from tasks.domain.video import SignedUrl, printable
from tasks.storage import content, gcs_access, small_objects, streaming
from tasks.storage.base import WRITE_CHECK_KEY, ObjectInfo
from tasks.storage.gcs_errors import is_missing, translated
from tasks.storage.object_keys import check_key
from tasks.storage.options import StorageOptions
from tasks.storage.paging import prefetched

RETRY = DEFAULT_RETRY.with_delay(initial=0.5, maximum=8.0, multiplier=2.0).with_timeout(30.0)

_GOOGLE = "https://storage.googleapis.com"
_FIELDS = "items(name,size,updated,generation,storageClass),nextPageToken"
_TIMEOUTS_S = (10.0, 60.0)  # to connect, and between two bytes
_PIECE_BYTES = 16 << 20  # of one request of a download or a resumable upload
_NO_GENERATION = 1  # generations are times in microseconds
_MARK = "reelroute-write"


def open_uri(uri: str, options: StorageOptions) -> GcsStorage:
    """Open ``gs://bucket/prefix/``."""
    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    endpoint = options.endpoint_url or emulator or _GOOGLE
    credentials = options.credentials
    if credentials is None and endpoint == emulator:
        credentials = AnonymousCredentials()  # as the SDK has it
    if "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    return GcsStorage(bucket, prefix, endpoint=endpoint.rstrip("/"), credentials=credentials)


class GcsStorage:
    """One prefix of a bucket as :class:`tasks.storage.base.Storage`.

    Args:
        prefix: "" or with its trailing slash.
        endpoint: Address of the service.
        credentials: See :func:`tasks.storage.gcs_access.find_credentials`; looked for at the first use.
    """

    def __init__(self, bucket: str, prefix: str, *, endpoint: str = _GOOGLE, credentials: object | None = None) -> None:
        self._name = bucket
        self._prefix = prefix
        self._endpoint = endpoint
        self._given = credentials
        try:
            storage.Bucket(None, bucket)
        except ValueError:
            raise InputInvalid(
                f"{printable(bucket)!r} is no bucket's name", hint="it begins and ends with a letter or digit"
            ) from None

    def __repr__(self) -> str:
        return f"GcsStorage({self.root!r})"

    @property
    def root(self) -> str:
        """``gs://bucket/prefix/``."""
        return f"gs://{self._name}/{self._prefix}"

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Stream objects in byte order of their keys, the next page fetched meanwhile."""
        with self._translated("list", ""):
            for page in prefetched(self._pages(self._prefix + prefix)):
                yield from page

    def _pages(self, prefix: str) -> Iterator[Sequence[ObjectInfo]]:
        found = self._client.list_blobs(
            self._name, prefix=prefix or None, fields=_FIELDS, retry=RETRY, timeout=_TIMEOUTS_S
        )
        for page in found.pages:
            # An object that has the very name of the root is the root's own placeholder.
            yield [self._info(blob) for blob in page if blob.name != self._prefix]

    def stat(self, key: str) -> ObjectInfo:
        """Say what is there now."""
        with self._translated("read", key):
            return self._info(self._stat(key))

    def content_hash(self, key: str, version: str) -> str:
        """The MD5 that Cloud Storage keeps; it has none of composite objects."""
        with self._translated("read", key):
            blob = self._stat(key)
        content.same_version(self._info(blob), version)
        return content.of_base64("md5", blob.md5_hash)

    def sign(self, key: str, lifetime: timedelta, version_id: str = "") -> SignedUrl:
        """Make a V4 URL of at most seven days, or of twelve hours where Google signs, asked for each URL."""
        if lifetime <= timedelta(0):
            raise ValueError("the lifetime must be positive")
        blob = self._blob(key)
        with self._translated("read", key):
            if self._anonymous:
                url = f"{self._endpoint}/{self._name}/{quote(blob.name, safe='/~')}"
                return SignedUrl(url + (f"?generation={version_id}" if version_id else ""), None, bool(version_id))
            if lifetime > gcs_access.LONGEST:
                raise NotSignable(
                    f"a URL of {printable(self.root + key)} cannot last longer than 7 days",
                    hint="ask for `url_lifetime: 168h` or less",
                )
            signer, longest = self._signer
            lifetime = max(timedelta(seconds=min(lifetime, longest) // timedelta(seconds=1)), timedelta(seconds=1))
            expires_at = datetime.now(UTC).replace(microsecond=0) + lifetime
            try:
                url = blob.generate_signed_url(
                    version="v4",
                    expiration=lifetime,
                    credentials=signer,
                    api_access_endpoint=self._endpoint,
                    generation=version_id or None,
                )
            except google.auth.exceptions.TransportError as error:
                raise self._unsigned(error, key) from None
        return SignedUrl(url, expires_at, bool(version_id))

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read ``length`` bytes from ``start``; a short answer in mid-object is refused."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length must not be negative")
        if length == 0:
            self.stat(key)
            return b""
        with self._translated("read", key):
            data = self._fetch(self._blob(key), start, length)
            if start == 0 and length is None:  # the SDK has compared its checksum
                return data
            if len(data) != length and start + len(data) < self._stat(key).size:
                raise StorageUnavailable(f"only a part of {printable(self.root + key)} came")
            return data

    def download(self, key: str, target: Path) -> None:
        """Stream one generation to a local file; ``target`` appears only when it is whole."""
        with self._translated("read", key):
            found = self._stat(key)

        def stream(offset: int) -> Iterator[bytes]:
            blob = self._blob(key, found.generation)
            try:
                with self._translated("read", key):
                    while offset < found.size and (piece := self._fetch(blob, offset, _PIECE_BYTES)):
                        yield piece
                        offset += len(piece)
            except ObjectMissing:
                raise StorageUnavailable(f"{printable(self.root + key)} changed while it was read") from None

        streaming.download_to(target, found.size, stream)

    def write(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_match: str | None = None
    ) -> str:
        """Write the whole object at once and return its new generation."""
        if if_match and not re.fullmatch(r"[1-9][0-9]*", if_match):
            raise PreconditionFailed(f"{printable(self.root + key)} never had such a version")
        blob = self._blob(key)
        mark = uuid.uuid4().hex
        if if_match is not None:
            blob.metadata = {_MARK: mark}
        with self._translated("write", key):
            try:
                blob.upload_from_string(
                    data,
                    content_type=content_type,
                    if_generation_match=None if if_match is None else int(if_match or 0),
                    retry=RETRY,
                    timeout=_TIMEOUTS_S,
                )
            except Vendor412:
                return self._own_version(key, mark)
        return str(blob.generation)

    def _own_version(self, key: str, mark: str) -> str:
        """The version that we wrote ourselves, where the answer got lost and the SDK tried again."""
        try:
            found = self._stat(key)
        except GoogleAPICallError as error:
            if not is_missing(error):
                raise
            found = None
        if found is None or (found.metadata or {}).get(_MARK) != mark:
            raise PreconditionFailed(f"somebody else wrote {printable(self.root + key)} first")
        return str(found.generation)

    def upload(self, key: str, source: Path, *, content_type: str = "application/octet-stream") -> str:
        """Write a large object from a local file, resumed where the connection breaks."""
        try:
            file = source.open("rb")
        except OSError as error:
            raise InputInvalid(f"cannot read {printable(str(source))}: {error.strerror}") from None
        with file, self._translated("write", key):
            blob = self._blob(key)
            blob.chunk_size = _PIECE_BYTES
            size = os.fstat(file.fileno()).st_size
            blob.upload_from_file(file, size=size, content_type=content_type, retry=RETRY, timeout=_TIMEOUTS_S)
        return str(blob.generation)

    def write_many(self, items: Iterator[tuple[str, bytes]], *, content_type: str) -> int:
        """Write many small objects, 32 at a time; an endpoint that takes no XML uploads gets them by the SDK."""

        def by_sdk(key: str, data: bytes) -> None:
            self.write(key, data, content_type=content_type)

        return small_objects.write_all(
            self._store, items, prefix=self._prefix, content_type=content_type, by_sdk=by_sdk
        )

    def delete(self, key: str) -> None:
        """Remove the object; one that is not there is no error."""
        blob = self._blob(key)
        with suppress(ObjectMissing), self._translated("delete", key):
            blob.delete(retry=RETRY, timeout=_TIMEOUTS_S)

    def check_write(self) -> bool:
        """Try a write on a condition that never holds."""
        blob = self._blob(WRITE_CHECK_KEY)
        with self._translated("write", WRITE_CHECK_KEY), suppress(Vendor412):
            blob.upload_from_string(b"", if_generation_match=_NO_GENERATION, retry=RETRY, timeout=_TIMEOUTS_S)
        return True

    # --- the SDK's side -------------------------------------------------------------------

    def _blob(self, key: str, generation: int | None = None) -> storage.Blob:
        check_key(key)
        return self._client.bucket(self._name).blob(self._prefix + key, generation=generation)

    def _stat(self, key: str) -> storage.Blob:
        blob = self._blob(key)
        blob.reload(retry=RETRY, timeout=_TIMEOUTS_S)
        return blob

    def _fetch(self, blob: storage.Blob, start: int, length: int | None) -> bytes:
        """A range as it is stored, never unzipped on the way; nothing beyond the end."""
        try:
            data: bytes = blob.download_as_bytes(
                start=start or (None if length is None else 0),
                end=None if length is None else start + length - 1,
                raw_download=True,
                retry=RETRY,
                timeout=_TIMEOUTS_S,
            )
        except GoogleAPICallError as error:
            if error.code == 416:
                return b""
            raise
        return data

    def _info(self, blob: storage.Blob) -> ObjectInfo:
        # Every class of Cloud Storage can be read at once, ARCHIVE too.
        return ObjectInfo(
            key=blob.name[len(self._prefix) :],
            uri=f"gs://{self._name}/{blob.name}",
            version=str(blob.generation),
            size=blob.size,
            modified=blob.updated,
            storage_class="" if blob.storage_class == "STANDARD" else blob.storage_class or "",
            version_id=str(blob.generation),
        )

    def _translated(self, action: str, key: str) -> AbstractContextManager[None]:
        return translated(action, self.root + key, host=self._host, anonymous=self._anonymous)

    def _unsigned(self, error: google.auth.exceptions.TransportError, key: str) -> Exception:
        """Why ``signBlob`` gave nothing: it refused, or it could not be asked."""
        if error.__cause__ is not None or "exhausted" in str(error):
            return StorageUnavailable("Google's IAM, which signs for this account, does not answer")
        return NotSignable(
            f"Google does not let these credentials sign {printable(self.root + key)}",
            hint="grant the account roles/iam.serviceAccountTokenCreator on itself (iam.serviceAccounts.signBlob), "
            "and enable iamcredentials.googleapis.com",
        )

    @property
    def _host(self) -> str:
        return urlsplit(self._endpoint).netloc

    @property
    def _anonymous(self) -> bool:
        return isinstance(self._credentials, AnonymousCredentials)

    @cached_property
    def _credentials(self) -> Credentials:
        return gcs_access.find_credentials(self._given)

    @cached_property
    def _client(self) -> storage.Client:
        session = AuthorizedSession(self._credentials)
        # One connection for each of the threads that share the store.
        session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=small_objects.WORKERS))
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=small_objects.WORKERS))
        options = None if self._endpoint == _GOOGLE else {"api_endpoint": self._endpoint}
        return storage.Client(project=None, credentials=self._credentials, _http=session, client_options=options)

    @cached_property
    def _signer(self) -> tuple[Signing, timedelta]:
        return gcs_access.signer(self._credentials)

    @cached_property
    def _store(self) -> GCSStore:
        return GCSStore(
            self._name,
            base_url=self._endpoint,
            client_options=small_objects.client_options(plain_http=self._endpoint.startswith("http:")),
            retry_config=small_objects.RETRIES,
            credential_provider=partial(gcs_access.token, self._credentials),
        )
