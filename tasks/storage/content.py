"""Which hashes that stores keep of an object name its whole content: pure, no I/O.

Sources: S3 user guide, "Checking object integrity" and the ETag of the API reference's "Object";
Cloud Storage, "Data validation" (composite objects have no MD5); Azure, "Get Blob Properties".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from tasks.domain.errors import VideoReplaced
from tasks.domain.video import printable
from tasks.storage.base import ObjectInfo

_MD5 = re.compile(r"[0-9a-f]{32}")


def of_s3_head(head: Mapping[str, Any], *, is_aws: bool) -> str:
    """Read a HeadObject answer that was asked with ``ChecksumMode``.

    At AWS the ETag is the MD5 of what was put in one piece, in the clear or under SSE-S3; that of a
    multipart upload, under KMS or a customer's key, and at most other stores, is something else. A
    SHA-256 counts where it is of the whole and not of the parts' checksums.
    """
    etag = str(head.get("ETag", "")).strip('"')
    in_the_clear = head.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in head
    if is_aws and in_the_clear and _MD5.fullmatch(etag):
        return f"md5:{etag}"
    if head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
        return of_base64("sha256", head.get("ChecksumSHA256"))
    return ""


def of_base64(kind: str, value: object) -> str:
    """``kind:`` and hex digits of a hash that a store writes in base64; "" for anything else."""
    if not isinstance(value, str) or not value:
        return ""
    try:
        return f"{kind}:{base64.b64decode(value, validate=True).hex()}"
    except binascii.Error:  # "…-3": a checksum of parts' checksums
        return ""


def same_version(found: ObjectInfo, version: str) -> None:
    """Make sure that what is there is still that version.

    Raises:
        VideoReplaced: It is another.
    """
    if found.version != version:
        raise VideoReplaced(f"{printable(found.uri)}: was replaced after it was listed")
