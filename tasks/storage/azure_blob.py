"""Containers of Azure Blob Storage as stores, for ``az://container/prefix/``.

azure-storage-blob owns credentials, listing, signing and single objects; obstore moves the many
small ones. A version is an object's ETag, without its quotes. Without credentials only public
containers can be read; their URLs are plain.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import (
    BlobClient,
    BlobProperties,
    BlobSasPermissions,
    BlobType,
    ContainerClient,
    ContentSettings,
    generate_blob_sas,
)
from obstore.store import AzureStore

from tasks.domain.errors import (
    InputInvalid,
    KeyUnsafe,
    NotSignable,
    ObjectMissing,
    PreconditionFailed,
    StorageUnavailable,
)
from tasks.domain.video import SignedUrl, printable
from tasks.storage import azure_access, azure_listing, content, small_objects, streaming
from tasks.storage.azure_errors import code_of, translated
from tasks.storage.base import WRITE_CHECK_KEY, ObjectInfo
from tasks.storage.object_keys import check_key
from tasks.storage.options import StorageOptions
from tasks.storage.paging import prefetched

_PIECE_BYTES = 8 << 20
_NO_VERSION = "0x0"
_MARK = "reelroute_write"
# Azure makes a backslash a slash, and takes no character that its listings' XML could not hold.
_UNNAMEABLE = re.compile(r"[\\\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# Tiers of an account's usual kind; the others are worth a word.
_USUAL_TIERS = ("", "Hot")


def open_uri(uri: str, options: StorageOptions) -> AzureBlobStorage:
    """Open ``az://container/prefix/``.

    Raises:
        InputInvalid: Nothing says which account, or the credentials are none of Azure's.
    """
    azure_access.check_given(options.account, options.endpoint_url, options.credentials)
    container, _, prefix = uri.removeprefix("az://").partition("/")
    return AzureBlobStorage(container, prefix, options)


class AzureBlobStorage:
    """One prefix of a container as :class:`tasks.storage.base.Storage`.

    Args:
        prefix: "" or with its trailing slash.
        options: See :func:`tasks.storage.azure_access.connect`; looked at when first used.
    """

    def __init__(self, container: str, prefix: str, options: StorageOptions) -> None:
        self._name = container
        self._prefix = prefix
        self._options = options

    def __repr__(self) -> str:
        return f"AzureBlobStorage({self.root!r})"

    @property
    def root(self) -> str:
        """``az://container/prefix/``."""
        return f"az://{self._name}/{self._prefix}"

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Stream blobs in the service's order, the next page fetched meanwhile; folders are no objects."""
        with self._translated("list", ""):
            for page in prefetched(azure_listing.pages(self._container, self._account.tap, self._prefix + prefix)):
                for found in page:
                    if found.name != self._prefix and not found.is_folder:
                        yield self._info(found.name, found.etag, found.size, found.modified, found.tier)

    def stat(self, key: str) -> ObjectInfo:
        """Say what is there now."""
        return self._told(key, self._properties(key))

    def content_hash(self, key: str, version: str) -> str:
        """The Content-MD5 of a block blob, where its upload had one; appending to another kind leaves it as it was."""
        found = self._properties(key)
        content.same_version(self._told(key, found), version)
        md5 = found.content_settings.content_md5
        return f"md5:{bytes(md5).hex()}" if md5 and found.blob_type == BlobType.BLOCKBLOB else ""

    def sign(self, key: str, lifetime: timedelta, version_id: str = "") -> SignedUrl:
        """Make a URL with a SAS for this blob: by the account's key, or by a key of user delegation.

        The former ends when asked; the latter's key, and with it the URL, lasts seven days at most.
        """
        if lifetime <= timedelta(0):
            raise ValueError("the lifetime must be positive")
        blob = self._blob(key)
        url = blob.url.partition("?")[0]  # the rest would be our own access
        only = f"versionid={quote(version_id, safe='')}" if version_id else ""
        now = datetime.now(UTC)
        expires_at = (now + max(lifetime, timedelta(seconds=1))).replace(microsecond=0)
        account = self._account
        if account.anonymous:
            return SignedUrl(f"{url}?{only}" if only else url, None, bool(only))
        by: dict[str, Any]
        if account.key:
            by = {"account_key": account.key}
        elif account.token:
            if lifetime > azure_access.LONGEST_DELEGATED:
                raise NotSignable(
                    f"a URL of {printable(self.root + key)} cannot last longer than 7 days",
                    hint="ask for `url_lifetime: 168h` or less, or sign with the account's key",
                )
            with self._translated("sign", key):
                delegated, end = self._delegation_keys.until(expires_at, now)
            by = {"user_delegation_key": delegated}
            expires_at = min(expires_at, end)
        else:
            raise NotSignable(
                f"a SAS cannot sign a URL of {printable(self.root + key)}",
                hint="give the account's key or an identity: handing out the SAS would give away more than one object",
            )
        sas = generate_blob_sas(
            account.name,
            self._name,
            self._prefix + key,
            permission=BlobSasPermissions(read=True),
            expiry=expires_at,
            version_id=version_id or None,
            **by,
        )
        return SignedUrl(f"{url}?{only}&{sas}" if only else f"{url}?{sas}", expires_at, bool(only))

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read ``length`` bytes from ``start``; a short answer is refused."""
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length must not be negative")
        if length == 0:
            self.stat(key)
            return b""
        blob = self._blob(key)
        with self._translated("read", key):
            return self._fetch(blob, key, start, length)

    def download(self, key: str, target: Path) -> None:
        """Stream one version to a local file; ``target`` appears only when it is whole."""
        found = self.stat(key)
        blob = self._blob(key)

        def stream(offset: int) -> Iterator[bytes]:
            with self._translated("read", key):
                while offset < found.size and (piece := self._fetch(blob, key, offset, _PIECE_BYTES, found.version)):
                    yield piece
                    offset += len(piece)

        try:
            streaming.download_to(target, found.size, stream)
        except PreconditionFailed:
            raise StorageUnavailable(f"{printable(self.root + key)} changed while it was read") from None

    def write(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_match: str | None = None
    ) -> str:
        """Write the whole object at once and return its new ETag."""
        blob = self._blob(key)
        if if_match is None:
            with self._translated("write", key):
                return _version(blob.upload_blob(data, overwrite=True, content_settings=ContentSettings(content_type)))
        mark = uuid.uuid4().hex
        with self._translated("write", key):
            try:
                written = blob.upload_blob(
                    data,
                    overwrite=if_match != "",
                    content_settings=ContentSettings(content_type),
                    metadata={_MARK: mark},
                    **(_only_if(if_match) if if_match else {}),
                )
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError) as error:
                if code_of(error) in ("ContainerNotFound", "ContainerBeingDeleted", "ResourceNotFound"):
                    raise
                return self._own_version(blob, key, mark)
        return _version(written)

    def _own_version(self, blob: BlobClient, key: str, mark: str) -> str:
        """The version that we wrote ourselves, where the answer got lost and the SDK tried again."""
        with suppress(ResourceNotFoundError):
            found = blob.get_blob_properties()
            if found.metadata.get(_MARK) == mark:
                return str(found.etag).strip('"')
        raise PreconditionFailed(f"somebody else wrote {printable(self.root + key)} first")

    def upload(self, key: str, source: Path, *, content_type: str = "application/octet-stream") -> str:
        """Write a large object from a local file, block by block."""
        blob = self._blob(key)
        try:
            file = source.open("rb")
        except OSError as error:
            raise InputInvalid(f"cannot read {printable(str(source))}: {error.strerror}") from None
        with file, self._translated("write", key):
            size = os.fstat(file.fileno()).st_size
            settings = ContentSettings(content_type)
            return _version(blob.upload_blob(file, length=size, overwrite=True, content_settings=settings))

    def write_many(self, items: Iterator[tuple[str, bytes]], *, content_type: str) -> int:
        """Write many small objects, 32 at a time; return how many."""

        def by_sdk(key: str, data: bytes) -> None:
            self.write(key, data, content_type=content_type)

        checked = ((_checked(key), data) for key, data in items)
        return small_objects.write_all(
            self._store, checked, prefix=self._prefix, content_type=content_type, by_sdk=by_sdk
        )

    def delete(self, key: str) -> None:
        """Remove the object with its snapshots; one that is not there is no error."""
        blob = self._blob(key)
        with suppress(ObjectMissing), self._translated("delete", key):
            blob.delete_blob(delete_snapshots="include")

    def check_write(self) -> bool:
        """Try a write on a condition that never holds."""
        blob = self._blob(WRITE_CHECK_KEY)
        with suppress(PreconditionFailed), self._translated("write", WRITE_CHECK_KEY):
            blob.upload_blob(b"", overwrite=True, **_only_if(_NO_VERSION))
        return True

    # --- the SDK's side -------------------------------------------------------------------

    def _properties(self, key: str) -> BlobProperties:
        blob = self._blob(key)
        with self._translated("read", key):
            return blob.get_blob_properties()

    def _told(self, key: str, found: BlobProperties) -> ObjectInfo:
        tier = str(found.blob_tier or "")
        info = self._info(self._prefix + key, found.etag, found.size, found.last_modified, tier)
        return replace(info, version_id=found.version_id or "")

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(self._prefix + _checked(key))

    def _fetch(self, blob: BlobClient, key: str, start: int, length: int | None, version: str | None = None) -> bytes:
        """A range as it is stored, never unzipped on the way; nothing beyond the end."""
        condition = {} if version is None else _only_if(version)
        try:
            found = blob.download_blob(start, length, decompress=False, **condition)
            data: bytes = found.readall()
        except HttpResponseError as error:
            if error.status_code == 416:
                return b""
            raise
        if len(data) != found.size:
            raise StorageUnavailable(f"only a part of {printable(self.root + key)} came")
        return data

    def _info(self, name: str, etag: str, size: int, modified: datetime, tier: str) -> ObjectInfo:
        key = name[len(self._prefix) :]
        usual = "" if tier in _USUAL_TIERS else tier
        return ObjectInfo(key, f"az://{self._name}/{name}", etag.strip('"'), size, modified, usual, tier == "Archive")

    def _translated(self, action: str, key: str) -> AbstractContextManager[None]:
        account = self._account
        host = urlsplit(account.service.url).netloc
        return translated(action, self.root + key, host=host, anonymous=account.anonymous)

    @cached_property
    def _account(self) -> azure_access.Account:
        options = self._options
        return azure_access.connect(options.account, options.endpoint_url, options.credentials)

    @cached_property
    def _container(self) -> ContainerClient:
        return self._account.service.get_container_client(self._name)

    @cached_property
    def _delegation_keys(self) -> azure_access.DelegationKeys:
        return azure_access.DelegationKeys(self._account.service)

    @cached_property
    def _store(self) -> AzureStore:
        account = self._account
        endpoint = account.service.url.partition("?")[0].rstrip("/")
        token = account.token
        return AzureStore(
            self._name,
            account_name=account.name,
            endpoint=endpoint,
            client_options=small_objects.client_options(plain_http=endpoint.startswith("http:")),
            retry_config=small_objects.RETRIES,
            credential_provider=None if token is None else partial(azure_access.bearer_token, token),
            **_store_access(account),
        )


def _checked(key: str) -> str:
    if found := _UNNAMEABLE.search(check_key(key)):
        raise KeyUnsafe(
            f"Azure has no blob with {printable(found[0])!r} in its name: {printable(key)!r}", hint="rename it"
        )
    return key


def _store_access(account: azure_access.Account) -> dict[str, Any]:
    if account.key:
        return {"account_key": account.key}
    if account.sas:
        return {"sas_key": account.sas}
    return {"skip_signature": True} if account.anonymous else {}


def _only_if(version: str) -> dict[str, Any]:
    return {"etag": f'"{version}"', "match_condition": MatchConditions.IfNotModified}


def _version(written: dict[str, Any]) -> str:
    return str(written["etag"]).strip('"')
