"""Azure Queue Storage, which Event Grid delivers to without any public address."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.queue import QueueClient

from deployments.services.events.queues.base import Message, QueueUnavailable

_HIDDEN_S = 60
_AT_ONCE = 32


class AzureQueue:
    """One queue, by its URL. Who we are comes from AZURE_STORAGE_CONNECTION_STRING, a key, or the SDK's chain."""

    via = "azure-queue"

    def __init__(self, url: str) -> None:
        self.name = url
        self._client: QueueClient | None = None

    def receive(self) -> list[Message]:
        """Take up to 32 messages, without waiting: the service has no long poll."""
        try:
            pages = self._opened().receive_messages(
                messages_per_page=_AT_ONCE, visibility_timeout=_HIDDEN_S, max_messages=_AT_ONCE
            )
            return [
                Message(one.id, str(one.content).encode(errors="surrogatepass"), one, tries=one.dequeue_count or 0)
                for one in pages
            ]
        except (AzureError, ValueError) as error:
            raise QueueUnavailable(f"the queue does not answer: {_reason(error)}") from None

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Delete them, one by one: the service knows no other way."""
        try:
            for message in messages:
                received: Any = message.receipt
                self._delete(received)
        except (AzureError, ValueError) as error:
            raise QueueUnavailable(f"messages could not be deleted: {_reason(error)}") from None

    def _delete(self, received: Any) -> None:
        try:
            self._opened().delete_message(received)
        except ResourceNotFoundError:
            return  # it took us too long, and somebody else has it

    def _opened(self) -> QueueClient:
        if self._client is None:
            self._client = QueueClient.from_queue_url(self.name, credential=_credential(self.name), retry_total=2)
        return self._client


def _credential(url: str) -> Any:
    text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    pairs = (pair.partition("=") for pair in text.split(";"))
    known = {name.strip().lower(): value.strip() for name, _, value in pairs}
    account = known.get("accountname", "")
    parts = urlsplit(url)
    # Emulators have the account in the path.
    if account and account in ((parts.hostname or "").split(".")[0], parts.path.strip("/").split("/")[0]):
        if key := known.get("accountkey"):
            return {"account_name": account, "account_key": key}
        if sas := known.get("sharedaccesssignature"):
            return sas
    name = (parts.hostname or "").split(".")[0]
    if key := os.environ.get("AZURE_STORAGE_KEY"):
        return {"account_name": os.environ.get("AZURE_STORAGE_ACCOUNT", name), "account_key": key}
    if sas := os.environ.get("AZURE_STORAGE_SAS_TOKEN"):
        return sas.removeprefix("?")
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def _reason(error: Exception) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or type(error).__name__)
