"""S3's notifications: its own records, and EventBridge's events.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from __future__ import annotations

from urllib.parse import unquote_plus

from tasks.domain.upload import UploadEvent
from tasks.uploads.notice import Json, Notice, ShapeUnknown, number, part, text


def is_test(message: dict[str, Json]) -> bool:
    """Say whether this is what S3 sends once, when notifications are configured."""
    return message.get("Event") == "s3:TestEvent" and "Bucket" in message


def read_records(message: dict[str, Json]) -> Notice:
    """Read S3's own records; their keys are form-encoded, once.

    Raises:
        ShapeUnknown: They are not as S3 writes them.
    """
    records = message["Records"]
    if not isinstance(records, list):
        raise ShapeUnknown("Records is no list")
    notice = Notice()
    for record in records:
        if not isinstance(record, dict):
            raise ShapeUnknown("a record is no object")
        if record.get("eventSource", "aws:s3") not in ("aws:s3", "minio:s3"):
            notice.ignored["source"] += 1
        elif not text(record, "eventName").removeprefix("s3:").startswith("ObjectCreated:"):
            notice.ignored["kind"] += 1
        else:
            s3 = part(record, "s3")
            found = part(s3, "object")
            notice.uploads.append(_upload(text(part(s3, "bucket"), "name"), unquote_plus(text(found, "key")), found))
    return notice


def read_eventbridge(event: dict[str, Json]) -> Notice:
    """Read one event of EventBridge; its key is as it is, not encoded.

    Raises:
        ShapeUnknown: It is not as EventBridge writes it.
    """
    if event.get("source") != "aws.s3":
        return _nothing("source")
    if event.get("detail-type") != "Object Created":
        return _nothing("kind")
    detail = part(event, "detail")
    found = part(detail, "object")
    return Notice([_upload(text(part(detail, "bucket"), "name"), text(found, "key"), found)])


def _upload(bucket: str, key: str, found: dict[str, Json]) -> UploadEvent:
    # Each has its own spelling, and objects in buckets without versions have no version.
    version_id = next((found[name] for name in ("versionId", "version-id") if found.get(name)), "")
    etag = next((found[name] for name in ("eTag", "etag") if found.get(name)), "")
    version = version_id if version_id and version_id != "null" else etag
    if not isinstance(version, str):
        raise ShapeUnknown("a version is no text")
    return UploadEvent(
        scheme="s3",
        container=bucket,
        key=key,
        version=version.strip('"'),
        size=number(found, "size"),
        sequencer=text(found, "sequencer", needed=False),
    )


def _nothing(reason: str) -> Notice:
    notice = Notice()
    notice.ignored[reason] += 1
    return notice
