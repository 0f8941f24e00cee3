"""What reelroute asks of a store, whichever cloud or folder it is.

A :class:`Storage` is bound to a root such as ``s3://bucket/2026/`` and speaks in keys below
it. Keys are text, ``/``-separated, taken and returned verbatim: never normalised (NFC and NFD
are different keys), never percent-encoded, never stripped.

To change an object that others change too: ``stat`` it, ``read`` it, ``write`` with the stat's
version as ``if_match``, and start over on ``PreconditionFailed``. In this order: a version
that is older than the bytes is refused, one that is newer would overwrite what was never read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from tasks.domain.errors import InputInvalid
from tasks.domain.video import SignedUrl

WRITE_CHECK_KEY = ".reelroute-write-check"


class ConditionsUnknown(InputInvalid):
    """The store takes no writes that depend on what is there (``if_match``), as documents that runs share need."""

    code = "conditions_unknown"
    default_hint = "use another store for this route, or a route whose files each belong to one video"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of one object, as a listing or a stat gives it.

    Attributes:
        key: Below the storage's root.
        uri: ``scheme://container/key``, verbatim.
        version: Identity of the content; also the token that ``if_match`` takes.
        size: Bytes.
        modified: Timezone-aware UTC.
        storage_class: Class or access tier in the store's own word, such as ``GLACIER`` or
            ``Cool``; "" for the store's usual one and where there are none.
        archived: It is listed, but must be restored before anyone can read it.
        version_id: What binds a URL to this version, from a stat; "" where the store keeps no other
            version than the last.
        unreadable: It is there and cannot be read from here: a link out of the root or to nowhere, or a
            folder (its key ends with a slash) that is not ours to see. Its other values say nothing.
    """

    key: str
    uri: str
    version: str
    size: int
    modified: datetime
    storage_class: str = ""
    archived: bool = False
    version_id: str = ""
    unreadable: bool = False


class Storage(Protocol):
    """List, sign, read and write below one root. Synchronous and safe to share by threads.

    Every method raises :class:`tasks.domain.errors.KeyUnsafe` for a key that would leave the
    root, ``AccessDenied`` when the credentials do not allow it, and ``StorageUnavailable``
    when the store does not answer.
    """

    @property
    def root(self) -> str:
        """URI of the root, with its trailing slash."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Stream the objects whose key starts with ``prefix``, lazily, in constant memory.

        The order is the store's own: that of the keys' UTF-8 bytes wherever the service keeps to it.

        Raises:
            LocationMissing: The root itself does not exist.
        """
        ...

    def stat(self, key: str) -> ObjectInfo:
        """Say what is there now.

        Raises:
            ObjectMissing: Nothing is.
        """
        ...

    def content_hash(self, key: str, version: str) -> str:
        """Name the bytes of that version, ``md5:`` or ``sha256:`` and hex digits; "" if the store cannot.

        Of a bucket's object, a hash of the whole that the store itself keeps: nothing is downloaded. A
        folder's file is read. Copies of one content have one hash where stores keep the same kind.

        Raises:
            ObjectMissing: That version is not there (any more).
        """
        ...

    def sign(self, key: str, lifetime: timedelta, version_id: str = "") -> SignedUrl:
        """Make a URL that lets its holder GET the object (ranges included) until it expires.

        With a ``version_id`` that a stat told, the URL gives that version and no other, and says so
        (``bound``); one that the credentials cannot read by its id is signed as without.

        Raises:
            NotSignable: This store cannot, or not with these credentials.
        """
        ...

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read ``length`` bytes from ``start``; fewer, or none, only where the object ends.

        Raises:
            ObjectMissing: Nothing is there.
        """
        ...

    def download(self, key: str, target: Path) -> None:
        """Stream the object to a local file; ``target`` appears only when it is whole."""
        ...

    def write(
        self, key: str, data: bytes, *, content_type: str = "application/octet-stream", if_match: str | None = None
    ) -> str:
        """Write the whole object at once and return its new version.

        Args:
            if_match: None overwrites; "" writes only if the object is absent; a version
                writes only over exactly that version.

        Raises:
            PreconditionFailed: ``if_match`` no longer holds.
            ConditionsUnknown: The store does not know ``if_match``, and says so; see :meth:`check_write`.
        """
        ...

    def upload(self, key: str, source: Path, *, content_type: str = "application/octet-stream") -> str:
        """Write a large object from a local file, streaming; return its new version."""
        ...

    def write_many(self, items: Iterator[tuple[str, bytes]], *, content_type: str) -> int:
        """Write many small objects with bounded concurrency; return how many.

        Raises the first failure after the writes under way have ended.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove the object; one that is not there is no error."""
        ...

    def check_write(self) -> bool:
        """Find out whether objects can be written below the root, without writing anything that stays.

        A cloud tries a write that has to fail: of a few bytes to ``WRITE_CHECK_KEY``, on condition
        that the object there has a version that no object ever has. The answer that the condition
        does not hold (S3: 412, or 404 NoSuchKey; GCS and Azure: 412) comes only after the right to
        write was looked at. A root that the first write makes (a folder, the keys of a prefix)
        need not exist; a bucket or container has to.

        Returns:
            False if the store does not know such conditions (some that speak S3 refuse them, others
            overwrite whatever is there): objects can be written, and nobody may rely on ``if_match``.

        Raises:
            LocationMissing: The bucket, container or folder does not exist.
            AccessDenied: The credentials (or the folder's permissions) do not allow writing, with
                a hint that names the right that is missing.
        """
        ...
