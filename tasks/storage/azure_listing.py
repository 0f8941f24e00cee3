"""List a container at a tenth of the SDK's CPU, with the SDK's requests, authentication and retries.

The SDK makes an object of forty fields for each blob. Here it is asked for the names alone, and
the other few fields that matter are taken from the same page's XML.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import ContentDecodePolicy
from azure.storage.blob import ContainerClient

PAGE = 5_000
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}


class Listed(NamedTuple):
    """One blob of a listing; ``name`` is whole, ``tier`` "" where the account has none."""

    name: str
    etag: str
    size: int
    modified: datetime
    tier: str
    is_folder: bool


class PageTap:
    """Sees every answer that a client gets, and keeps each thread's last page of a listing.

    It goes into a client as ``raw_response_hook``; given to a single call instead, the SDK would
    forget it when a connection breaks.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def __call__(self, answer: PipelineResponse[Any, Any]) -> None:
        """Keep the answer, whose body is not read yet, if it is to a listing."""
        if "comp=list" in answer.http_request.url:
            self._of_thread.page = answer

    def take(self) -> ET.Element:
        """The last page that this thread was given."""
        page: ET.Element = self._of_thread.page.context[ContentDecodePolicy.CONTEXT_NAME]
        del self._of_thread.page
        return page


def pages(container: ContainerClient, tap: PageTap, prefix: str) -> Iterator[list[Listed]]:
    """Fetch page after page of the blobs whose name starts with ``prefix``, in the service's order.

    Args:
        tap: The one that is in the client.
    """
    found = container.list_blob_names(name_starts_with=prefix or None, results_per_page=PAGE, include=["metadata"])
    for _ in found.by_page():
        yield [_listed(blob) for blob in tap.take().iterfind("Blobs/Blob")]


def _listed(blob: ET.Element) -> Listed:
    properties = {each.tag: each.text for each in blob.find("Properties") or ()}
    name = blob.find("Name")
    text = "" if name is None else name.text or ""
    if name is not None and name.get("Encoded") == "true":  # it holds what XML cannot
        text = unquote(text)
    return Listed(
        text,
        (properties.get("Etag") or "").strip('"'),
        int(properties.get("Content-Length") or 0),
        moment(properties.get("Last-Modified") or ""),
        properties.get("AccessTier") or "",
        properties.get("ResourceType") == "directory" or blob.findtext("Metadata/hdi_isfolder") == "true",
    )


def moment(text: str) -> datetime:
    """Read ``Sat, 21 Nov 2026 21:59:39 GMT``: HTTP's one form, five times faster than the library does."""
    day, month, year, hour, minute, second = text[5:7], text[8:11], text[12:16], text[17:19], text[20:22], text[23:25]
    return datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
