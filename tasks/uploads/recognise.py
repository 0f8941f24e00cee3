"""Tell by its content who sent a message, and read it: no setting says which shape to expect."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping

from tasks.uploads import aws, azure, google
from tasks.uploads.notice import Json, Notice, Sender, ShapeUnknown, part, text

# SNS in SNS and the like: nobody nests deeper.
_DEEPEST = 3


def decode(body: bytes) -> Json:
    """Read JSON, as it is or in base64 (as storage queues hold it).

    Raises:
        ValueError: It is neither.
    """
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        pass
    try:
        return json.loads(base64.b64decode(body.strip(), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise ValueError("not JSON") from None


def sender_of(message: Json) -> Sender:
    """Name who writes messages of this shape.

    Raises:
        ShapeUnknown: Nobody that we know.
    """
    first = message[0] if isinstance(message, list) and message else message
    if not isinstance(first, dict):
        raise ShapeUnknown("neither an object nor a list of them")
    if "specversion" in first:
        return Sender.CLOUD_EVENTS
    if "eventType" in first and "data" in first:
        return Sender.EVENT_GRID
    if isinstance(message, list):
        raise ShapeUnknown("a list of what we do not know")
    for sender, is_meant in _SHAPES.items():
        if is_meant(first):
            return sender
    raise ShapeUnknown("no shape that we know")


_SHAPES: dict[Sender, Callable[[dict[str, Json]], bool]] = {
    Sender.S3: lambda found: "Records" in found or aws.is_test(found),
    Sender.SNS: lambda found: "Type" in found and "TopicArn" in found,
    Sender.EVENTBRIDGE: lambda found: "detail-type" in found,
    Sender.PUBSUB: lambda found: isinstance(found.get("message"), dict) or is_object(found),
}


def is_object(found: dict[str, Json]) -> bool:
    """Whether this is the resource of an object in Cloud Storage."""
    return found.get("kind") == "storage#object"


def read(message: Json, headers: Mapping[str, str] | None = None, *, depth: int = 0) -> Notice:
    """Read a message of any shape; envelopes within envelopes are taken off.

    Args:
        headers: Of the request that brought it, or the message's attributes.

    Raises:
        ShapeUnknown: It is none that we know.
    """
    sender = sender_of(message)
    if sender in (Sender.CLOUD_EVENTS, Sender.EVENT_GRID):
        notice = Notice()
        for event in message if isinstance(message, list) else [message]:
            if not isinstance(event, dict):
                raise ShapeUnknown("an event is no object")
            notice.add(azure.read_event(event))
        return notice
    if sender is Sender.SNS:
        return _from_sns(message, depth)
    if sender is Sender.PUBSUB:
        return google.read_object(message, headers or {}) if is_object(message) else _from_push(message)
    if sender is Sender.EVENTBRIDGE:
        return aws.read_eventbridge(message)
    return _test() if aws.is_test(message) else aws.read_records(message)


def _from_push(message: dict[str, Json]) -> Notice:
    return google.read_message(part(message, "message"))


def _from_sns(message: dict[str, Json], depth: int) -> Notice:
    """Take SNS's envelope off: its message is JSON in a text."""
    if text(message, "Type") != "Notification":
        notice = Notice()
        notice.ignored["kind"] += 1
        return notice
    try:
        inner = json.loads(text(message, "Message"))
    except (ValueError, RecursionError):
        raise ShapeUnknown("Message is no JSON") from None
    if depth >= _DEEPEST:
        raise ShapeUnknown("envelopes within envelopes")
    return read(inner, depth=depth + 1)


def _test() -> Notice:
    notice = Notice()
    notice.ignored["test"] += 1
    return notice
