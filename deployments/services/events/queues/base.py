"""What the puller asks of a queue, whichever cloud it is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class QueueUnavailable(Exception):
    """The queue does not answer, or does not let us; its text says why, without secrets."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is ours for a while, and comes again unless it is acknowledged.

    Attributes:
        id: The queue's own, for logs and to count with.
        body: As it came.
        receipt: What acknowledging it takes.
        attributes: That came beside the body.
        tries: How often it has come, this time included; 0 where the queue does not count.
    """

    id: str
    body: bytes
    receipt: object = field(repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)
    tries: int = 0


class Queue(Protocol):
    """Blocking; one thread uses it."""

    @property
    def via(self) -> str:
        """Kind of queue, for the counters: ``sqs``, ``pubsub-pull`` or ``azure-queue``."""
        ...

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def receive(self) -> list[Message]:
        """Wait up to some seconds for messages.

        Raises:
            QueueUnavailable: It does not answer.
        """
        ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Have messages not come again.

        Raises:
            QueueUnavailable: It does not answer; they come again.
        """
        ...
