"""Pages of objects.list for a bucket of as many objects as its name says, and a generation for every write."""

from __future__ import annotations

import json
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

_PAGE = 1_000
_WRITTEN = {"generation": "1795298379052006", "size": "540", "updated": "2026-11-21T02:00:00.000Z"}


def bucket_of(count: int) -> str:
    """The name of a bucket with so many objects."""
    return f"bucket-{count}"


def answer(method: str, target: str) -> tuple[int, str, bytes]:
    """What Cloud Storage would say to a listing or a write, by its JSON or its XML API."""
    parts = urlsplit(target)
    if method == "PUT":
        return 200, 'ETag: "9bb58f26192e4ba00f01e2e7b136bbd8"\r\nx-goog-generation: 1795298379052006\r\n', b""
    if method == "POST":
        return 200, "Content-Type: application/json\r\n", json.dumps(_WRITTEN).encode()
    start = int(parse_qs(parts.query).get("pageToken", ["0"])[0])
    return 200, "Content-Type: application/json\r\n", _page(parts.path.split("/")[4], start)


@lru_cache(maxsize=128)
def _page(bucket: str, start: int) -> bytes:
    count = int(bucket.removeprefix("bucket-"))
    end = min(start + _PAGE, count)
    page: dict[str, object] = {"items": [_object(number) for number in range(start, end)]}
    if end < count:
        page["nextPageToken"] = str(end)
    return json.dumps(page).encode()


def _object(number: int) -> dict[str, str]:
    return {
        "name": f"2026/11/camera-12/match-{number:08}.mp4",
        "size": str(number),
        "updated": "2026-11-21T02:00:00.123Z",
        "generation": str(1795298379052006 + number),
        "storageClass": "STANDARD",
    }
