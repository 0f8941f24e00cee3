"""An empty bucket that takes every write and forgets it: what a first delivery to a datasource meets."""

from __future__ import annotations

_EMPTY = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Name>datasource</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys>"
    b"<IsTruncated>false</IsTruncated></ListBucketResult>"
)


def answer(method: str, target: str) -> tuple[int, str, bytes]:
    """What S3 would say."""
    if method == "PUT":
        return 200, 'ETag: "9bb58f26192e4ba00f01e2e7b136bbd8"\r\n', b""
    if "list-type=2" in target:
        return 200, "Content-Type: application/xml\r\n", _EMPTY
    return 404, "", b""
