"""Pub/Sub, pulled over REST: two calls do not need the SDK and its gRPC.

https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/pull
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Sequence
from typing import Any

import google.auth
import google.auth.exceptions
import requests
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession

from deployments.services.events.queues.base import Message, QueueUnavailable

_SCOPES = ("https://www.googleapis.com/auth/pubsub",)
# The server answers an empty pull after some 90 seconds at most.
_TIMEOUT = (5, 100)
_AT_ONCE = 100


class PubsubQueue:
    """One subscription; credentials are found as for Cloud Storage. PUBSUB_EMULATOR_HOST is honoured."""

    via = "pubsub-pull"

    def __init__(self, subscription: str) -> None:
        self.name = subscription
        self._session: Any = None

    def receive(self) -> list[Message]:
        """Wait for up to a hundred messages."""
        received = self._call("pull", {"maxMessages": _AT_ONCE}).get("receivedMessages", [])
        return [_message(one) for one in received]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge them together."""
        self._call("acknowledge", {"ackIds": [message.receipt for message in messages]})

    def _call(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        emulator = os.environ.get("PUBSUB_EMULATOR_HOST")
        base = f"http://{emulator}" if emulator else "https://pubsub.googleapis.com"
        try:
            if self._session is None:
                credentials = AnonymousCredentials() if emulator else google.auth.default(scopes=_SCOPES)[0]
                self._session = AuthorizedSession(credentials)
            answer = self._session.post(f"{base}/v1/{self.name}:{verb}", json=body, timeout=_TIMEOUT)
            found: dict[str, Any] = answer.json() if answer.ok else {}
        except (requests.RequestException, google.auth.exceptions.GoogleAuthError, ValueError) as error:
            raise QueueUnavailable(f"Pub/Sub does not answer: {type(error).__name__}") from None
        if not answer.ok:
            raise QueueUnavailable(f"Pub/Sub refused with {answer.status_code}")
        return found


def _message(received: dict[str, Any]) -> Message:
    """As a push would wrap it, so that both are read by the same code; unwrapped payloads too."""
    message = received.get("message", {})
    attributes = {str(name): str(value) for name, value in message.get("attributes", {}).items()}
    body = json.dumps({"message": message}).encode()
    if "bucketId" not in attributes:
        # Another path into Pub/Sub: what was published is the whole message.
        try:
            body = base64.b64decode(message.get("data", ""), validate=True)
        except binascii.Error:
            body = b""
    return Message(
        str(message.get("messageId", "")),
        body,
        received.get("ackId", ""),
        attributes,
        int(received.get("deliveryAttempt", 0)),
    )
