"""Cloud Storage's notifications through Pub/Sub: pushed, pushed without a wrapper, or pulled.

https://cloud.google.com/storage/docs/pubsub-notifications
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

from tasks.domain.upload import UploadEvent
from tasks.uploads.notice import Json, Notice, ShapeUnknown, number, part, text

_CREATED = "OBJECT_FINALIZE"


def read_message(message: dict[str, Json]) -> Notice:
    """Read a message of Pub/Sub, as a push wraps it and a pull gives it; the attributes say enough.

    Raises:
        ShapeUnknown: It is none of Cloud Storage's.
    """
    attributes = part(message, "attributes")
    # A notification without payload has no size.
    resource = _data(message) if attributes.get("payloadFormat") != "NONE" else {}
    bucket, key = text(attributes, "bucketId"), text(attributes, "objectId")
    generation = text(attributes, "objectGeneration")
    return _notice(text(attributes, "eventType"), bucket, key, generation, resource)


def read_object(resource: dict[str, Json], attributes: Mapping[str, str]) -> Notice:
    """Read the resource of an object, which is all that comes without the wrapper.

    Args:
        attributes: The request's headers; with "write metadata" they say what happened. Without,
            the object is taken for new: whoever looks it up will see.

    Raises:
        ShapeUnknown: It is no object's resource.
    """
    kind = next((value for name, value in attributes.items() if name.lower() == "eventtype"), _CREATED)
    return _notice(kind, text(resource, "bucket"), text(resource, "name"), text(resource, "generation"), resource)


def _notice(kind: str, bucket: str, key: str, generation: str, resource: dict[str, Json]) -> Notice:
    notice = Notice()
    if kind != _CREATED:
        notice.ignored["kind"] += 1
        return notice
    notice.uploads.append(
        UploadEvent(
            scheme="gs",
            container=bucket,
            key=key,
            version=generation,
            size=number(resource, "size"),
            sequencer=generation.zfill(20),  # a number of 64 bits
        )
    )
    return notice


def _data(message: dict[str, Json]) -> dict[str, Json]:
    try:
        data = json.loads(base64.b64decode(text(message, "data", needed=False), validate=True) or b"{}")
    except (binascii.Error, ValueError, RecursionError):
        raise ShapeUnknown("data is no JSON in base64") from None
    if not isinstance(data, dict):
        raise ShapeUnknown("data is no object")
    return data
