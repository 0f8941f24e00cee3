"""Blob Storage's events through Event Grid, in its own schema and as CloudEvents.

https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from tasks.domain.upload import UploadEvent
from tasks.uploads.notice import Json, Notice, ShapeUnknown, number, part, text

VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
_CREATED = "Microsoft.Storage.BlobCreated"
# What an account with folders says of a file that is only begun, and of one that is whole.
_BEGUN = ("CreateFile", "SftpCreate")
_WHOLE = ("FlushWithClose", "SftpCommit")
_SUBJECT = re.compile(r"/blobServices/default/containers/([^/]+)/blobs/(.+)", re.DOTALL)
_TOPIC = re.compile(r"(?i)/storageAccounts/([a-z0-9]{3,24})")


def kind_of(event: dict[str, Json]) -> str:
    """What an event of either schema says that happened."""
    return text(event, "type" if "specversion" in event else "eventType")


def validation_code(event: dict[str, Json]) -> str:
    """What a handshake wants to hear.

    Raises:
        ShapeUnknown: It is no handshake.
    """
    return text(part(event, "data"), "validationCode")


def read_event(event: dict[str, Json]) -> Notice:
    """Read one event; the key is the subject's, as it is: ``data.url`` is not reliably encoded.

    An account with folders (a hierarchical namespace) tells of a file when it is made, empty, and
    again when it is closed: only the latter counts.

    Raises:
        ShapeUnknown: It is not as Blob Storage writes it.
    """
    notice = Notice()
    if kind_of(event) != _CREATED:
        notice.ignored["kind"] += 1
        return notice
    data = part(event, "data")
    subject = _SUBJECT.fullmatch(text(event, "subject"))
    if subject is None:
        raise ShapeUnknown("subject names no blob")
    api = data.get("api")
    if api in _BEGUN or (_has_folders(data) and api is not None and api not in _WHOLE):
        notice.ignored["unfinished"] += 1
        return notice
    notice.uploads.append(
        UploadEvent(
            scheme="az",
            container=subject[1],
            key=subject[2],
            version=text(data, "eTag", needed=False).strip('"'),
            size=number(data, "contentLength"),
            sequencer=text(data, "sequencer", needed=False),
            account=_account(event, data),
        )
    )
    return notice


def _has_folders(data: dict[str, Json]) -> bool:
    """Whether the event comes from the endpoint of hierarchical namespaces, where writes come in parts."""
    return ".dfs." in (_host(data) or "")


def _host(data: dict[str, Json]) -> str | None:
    try:
        return urlsplit(text(data, "url", needed=False)).hostname
    except ValueError:
        return None


def _account(event: dict[str, Json], data: dict[str, Json]) -> str:
    topic = _TOPIC.search(text(event, "source" if "specversion" in event else "topic", needed=False))
    if topic:
        return topic[1].lower()
    host = _host(data) or ""
    return host.partition(".")[0] if ".blob." in host or ".dfs." in host else ""
