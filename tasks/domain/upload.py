"""What a store's notification says: an object landed, which version of it, and after which other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadEvent:
    """One version of one object that was written to a bucket.

    Attributes:
        scheme: ``s3``, ``gs`` or ``az``.
        container: Bucket or container.
        key: Verbatim, decoded from whatever the notification's shape encodes.
        version: S3 version id or ETag, GCS generation, Azure ETag; "" where the notification has none.
        size: Bytes, or None where it does not say.
        sequencer: The store's own word for which write of the same key came later, or "".
        account: Azure's storage account, or "" where it does not say.
    """

    scheme: str
    container: str
    key: str
    version: str = ""
    size: int | None = None
    sequencer: str = ""
    account: str = ""

    @property
    def uri(self) -> str:
        """``scheme://container/key``, as a listing would give it."""
        return f"{self.scheme}://{self.container}/{self.key}"


def upload_key(pipeline: str, uri: str, version: str) -> str:
    """Name one object version as one pipeline sees it: 32 hex digits, the same however often it is told."""
    return hashlib.sha256(json.dumps([pipeline, uri, version]).encode()).hexdigest()[:32]


def is_later(one: str, other: str) -> bool:
    """Say whether a sequencer is certainly later than another of the same key.

    They are texts of one length that sort in order. Of different lengths nobody knows (AWS has
    documented padding on either side), and then neither is later.
    """
    return len(one) == len(other) and one.lower() > other.lower()
