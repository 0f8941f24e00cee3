"""What one message told, once its envelopes are off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tasks.domain.upload import UploadEvent

Json = Any


class Sender(StrEnum):
    """Who writes a message of this shape."""

    S3 = "s3"
    SNS = "sns"
    EVENTBRIDGE = "eventbridge"
    PUBSUB = "pubsub"
    EVENT_GRID = "event-grid"
    CLOUD_EVENTS = "cloud-events"


class ShapeUnknown(ValueError):
    """The message is none that we know, or lacks what every message of its shape has."""


@dataclass(slots=True)
class Notice:
    """Everything in one message.

    Attributes:
        uploads: Objects that landed.
        ignored: Reason -> how many of its events are none of our business.
    """

    uploads: list[UploadEvent] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    def add(self, other: Notice) -> None:
        """Take in another notice."""
        self.uploads += other.uploads
        self.ignored.update(other.ignored)


def text(value: Mapping[str, Json], name: str, *, needed: bool = True) -> str:
    """A text of a JSON object.

    Raises:
        ShapeUnknown: It is something else, or needed and missing or empty.
    """
    found = value.get(name)
    if found is None and not needed:
        return ""
    if not isinstance(found, str) or (needed and not found):
        raise ShapeUnknown(f"{name} is no text")
    return found


def number(value: Mapping[str, Json], name: str) -> int | None:
    """A size, which some write as a text; None where there is none.

    Raises:
        ShapeUnknown: It is no whole number from 0 up.
    """
    found = value.get(name)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:
        found = int(found)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 1 << 63:
        raise ShapeUnknown(f"{name} is no size")
    return found


def part(value: Json, name: str) -> dict[str, Json]:
    """An object within an object.

    Raises:
        ShapeUnknown: There is none.
    """
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise ShapeUnknown(f"{name} is no object")
    return found
