"""Pages of ListObjectsV2 for a bucket of as many objects as its name says, and an ETag for every write."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

_PAGE = 1_000
_OBJECT = (
    "<Contents><Key>2026/11/camera-12/match-{0:08}.mp4</Key><LastModified>2026-11-21T02:00:00.000Z</LastModified>"
    "<ETag>&quot;9bb58f26192e4ba00f01e2e7{0:08}&quot;</ETag><Size>{0}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
_LISTING = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Name>{name}</Name><Prefix></Prefix><KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys>"
    "<EncodingType>url</EncodingType>{following}{objects}</ListBucketResult>"
)


def bucket_of(count: int) -> str:
    """The name of a bucket with so many objects."""
    return f"bucket-{count}"


def answer(method: str, target: str) -> tuple[int, str, bytes]:
    """What S3 would say to a listing or a write."""
    if method == "PUT":
        return 200, 'ETag: "9bb58f26192e4ba00f01e2e7b136bbd8"\r\n', b""
    parts = urlsplit(target)
    start = int(parse_qs(parts.query).get("continuation-token", ["0"])[0])
    return 200, "Content-Type: application/xml\r\n", _page(parts.path.strip("/"), start)


@lru_cache(maxsize=128)
def _page(bucket: str, start: int) -> bytes:
    end = min(start + _PAGE, int(bucket.removeprefix("bucket-")))
    more = end < int(bucket.removeprefix("bucket-"))
    token = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
    following = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}"
    objects = "".join(_OBJECT.format(number) for number in range(start, end))
    return _LISTING.format(name=bucket, count=end - start, following=following, objects=objects).encode()
