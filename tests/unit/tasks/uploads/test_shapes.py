"""Messages of every shape are recognised by their content, and their keys come out as they are in the bucket."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain.upload import UploadEvent
from tasks.uploads.notice import Notice, Sender, ShapeUnknown
from tasks.uploads.recognise import decode, read, sender_of
from tests.services.events.messages import (
    S3_TEST,
    cloud_event,
    event_grid,
    eventbridge,
    gcs_message,
    gcs_object,
    push,
    s3,
    sns,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = ["Records", "Type", "TopicArn", "Message", "detail-type", "detail", "source", "message", "data", "attributes"]
NAMES += ["kind", "specversion", "type", "eventType", "subject", "s3", "bucket", "object", "eventName", "key", "name"]
# As S3 allows them: any Unicode, but no lone surrogate.
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def s3_upload(key: str) -> UploadEvent:
    return UploadEvent(scheme="s3", container="yard", key=key, version="e1", size=9, sequencer="0A")


def raw_sns(message: Any) -> dict[str, Any]:
    """An envelope around a message, twice as S3 → SNS → SNS → SQS would have it."""
    return sns(sns(message, at=NOW), at=NOW)


@given(KEYS)
def test_keys_of_s3_are_decoded_once(key: str) -> None:
    """``+`` is a blank there and %2B a plus: form-encoded, also in SNS's envelopes."""
    for message in (s3(key), sns(s3(key), at=NOW), raw_sns(s3(key))):
        assert [s3_upload(key)] == read(message).uploads


@given(KEYS)
def test_keys_of_everybody_else_are_not_encoded(key: str) -> None:
    """Decoding them would make a blank of every plus."""
    assert [s3_upload(key)] == read(eventbridge(key)).uploads
    cloud = UploadEvent(scheme="gs", container="yard", key=key, version="17", size=9, sequencer="17".zfill(20))
    assert [cloud] == read(push(gcs_message(key))).uploads
    assert [cloud] == read(gcs_object(key)).uploads
    azure = [key] * 2
    assert azure == [upload.key for upload in read([event_grid(key), event_grid(key)]).uploads]
    assert [key] == [upload.key for upload in read(cloud_event(key)).uploads]


@given(KEYS)
def test_queues_hold_it_in_base64_or_not(key: str) -> None:
    """Azure's documents say one, and its queues hold the other."""
    for ascii_only in (True, False):
        plain = json.dumps(event_grid(key), ensure_ascii=ascii_only).encode()
        assert decode(plain) == decode(base64.b64encode(plain))


def test_an_azure_event_says_everything() -> None:
    """Account, version and order; of either schema."""
    for event in (event_grid("a/b.mp4", eTag='"0x8D1"'), cloud_event("a/b.mp4")):
        [upload] = read(event).uploads
        assert ("az://yard/a/b.mp4", "yards", "0x8D1", 9) == (upload.uri, upload.account, upload.version, upload.size)
        assert upload.sequencer.endswith("28963")


@pytest.mark.parametrize(
    ("message", "sender"),
    [
        (s3("a"), Sender.S3),
        (S3_TEST, Sender.S3),
        (sns(s3("a"), at=NOW), Sender.SNS),
        (eventbridge("a"), Sender.EVENTBRIDGE),
        (push(gcs_message("a")), Sender.PUBSUB),
        (gcs_object("a"), Sender.PUBSUB),
        ([event_grid("a")], Sender.EVENT_GRID),
        (event_grid("a"), Sender.EVENT_GRID),
        ([cloud_event("a")], Sender.CLOUD_EVENTS),
    ],
)
def test_senders_are_told_apart(message: Any, sender: Sender) -> None:
    """By content alone."""
    assert sender is sender_of(message)


def changed(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**message, **more}


def renamed(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {"Records": [{**record["Records"][0], "eventName": name}]}


IGNORED = [
    (S3_TEST, "test"),
    (sns(S3_TEST, at=NOW), "test"),
    (renamed(s3("a"), "ObjectRemoved:Delete"), "kind"),
    (changed(eventbridge("a"), **{"detail-type": "Object Deleted"}), "kind"),
    (changed(eventbridge("a"), source="aws.ec2"), "source"),
    (push(gcs_message("a", event="OBJECT_DELETE")), "kind"),
    (event_grid("a", api="CreateFile", contentLength=0), "unfinished"),
    (event_grid("a", api="SftpCreate", contentLength=0), "unfinished"),
    (event_grid("a", api="AppendFile", url="https://yards.dfs.core.windows.net/yard/a"), "unfinished"),
    (changed(event_grid("a"), eventType="Microsoft.Storage.BlobDeleted"), "kind"),
    (changed(cloud_event("a"), type="Microsoft.Storage.BlobTierChanged"), "kind"),
]


@pytest.mark.parametrize(("message", "reason"), IGNORED)
def test_other_news_is_ignored_and_counted(message: Any, reason: str) -> None:
    """Deletions, tests, and files that are only begun."""
    notice = read(message)
    assert ([], {reason: 1}) == (notice.uploads, dict(notice.ignored))


def test_a_file_that_is_closed_counts() -> None:
    """Accounts with folders say so with FlushWithClose, from another host."""
    url = "https://yards.dfs.core.windows.net/yard/a"
    for api in ("FlushWithClose", "SftpCommit"):
        assert 1 == len(read(event_grid("a", api=api, url=url)).uploads)


def test_a_notification_may_have_no_payload() -> None:
    """GCS's payloadFormat NONE: the attributes say all but the size."""
    message = gcs_message("a")
    message["attributes"]["payloadFormat"] = "NONE"
    del message["data"]
    [upload] = read(push(message)).uploads
    assert ("17", None) == (upload.version, upload.size)


def test_an_unwrapped_message_says_in_its_headers_what_happened() -> None:
    """With "write metadata"; without it, the object is looked at."""
    assert {"kind": 1} == dict(read(gcs_object("a"), {"eventType": "OBJECT_DELETE"}).ignored)
    assert 1 == len(read(gcs_object("a"), {"eventtype": "OBJECT_FINALIZE"}).uploads)


@pytest.mark.parametrize(
    "message",
    [
        None,
        17,
        "text",
        [],
        [1],
        {},
        {"Records": 1},
        {"Records": [1]},
        {"Records": [{"eventName": "ObjectCreated:Put"}]},
        {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": ""}, "object": {"key": "a"}}}]},
        {"Type": "Notification", "TopicArn": "t", "Message": "no JSON"},
        sns(sns(sns(sns(s3("a"), at=NOW), at=NOW), at=NOW), at=NOW),
        {"detail-type": "Object Created", "source": "aws.s3"},
        {"message": {}},
        {"message": {"attributes": {"eventType": "OBJECT_FINALIZE"}}},
        push(changed(gcs_message("a"), data="no base64")),
        push(changed(gcs_message("a"), data=base64.b64encode(b"[]").decode())),
        gcs_object("a") | {"size": -1},
        gcs_object("a") | {"size": True},
        gcs_object("a") | {"size": "9" * 40},
        [event_grid("a"), 1],
        changed(event_grid("a"), subject="/blobServices/default/containers/yard"),
        changed(event_grid("a"), data=None),
        changed(event_grid("a"), eventType=1),
        {"specversion": "1.0"},
    ],
)
def test_what_is_none_of_these_is_refused(message: Any) -> None:
    """By one error, whatever it looks like; never by another."""
    with pytest.raises(ShapeUnknown):
        read(message)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(NAMES),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_is_too_strange(message: Any) -> None:
    """It is a notice or a refusal."""
    try:
        found = read(message)
    except ShapeUnknown:
        return
    assert isinstance(found, Notice)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"bm8ganNvbg==", b"[" * 100_000])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Neither plain nor in base64."""
    with pytest.raises(ValueError, match=r"not JSON|nested"):
        decode(body)
