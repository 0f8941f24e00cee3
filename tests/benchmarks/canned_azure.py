"""Pages of List Blobs for a container of as many blobs as its name says, and an ETag for every write."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

_PAGE = 5_000
_BLOB = (
    "<Blob><Name>2026/11/camera-12/match-{0:08}.mp4</Name><Properties>"
    "<Creation-Time>Sat, 21 Nov 2026 02:00:00 GMT</Creation-Time><Last-Modified>Sat, 21 Nov 2026 02:00:00 GMT"
    "</Last-Modified><Etag>0x8DE{0:012X}</Etag><Content-Length>{0}</Content-Length>"
    "<Content-Type>video/mp4</Content-Type><Content-Encoding /><Content-Language /><Content-CRC64 />"
    "<Content-MD5>aGVsbG8gd29ybGQgMTIzNA==</Content-MD5><Cache-Control /><Content-Disposition />"
    "<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>"
    "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted>"
    "</Properties><OrMetadata /></Blob>"
)
_LISTING = (
    '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://127.0.0.1/reelroute/" '
    'ContainerName="{name}"><MaxResults>5000</MaxResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker>'
    "</EnumerationResults>"
)


def container_of(count: int) -> str:
    """The name of a container with so many blobs."""
    return f"container-{count}"


def answer(method: str, target: str) -> tuple[int, str, bytes]:
    """What Azure would say to a listing or a write."""
    if method == "PUT":
        return 201, 'ETag: "0x8DE000000000001"\r\nLast-Modified: Sat, 21 Nov 2026 02:00:00 GMT\r\n', b""
    parts = urlsplit(target)
    start = int(parse_qs(parts.query).get("marker", ["0"])[0])
    return 200, "Content-Type: application/xml\r\n", _page(parts.path.split("/")[2], start)


@lru_cache(maxsize=32)
def _page(container: str, start: int) -> bytes:
    count = int(container.removeprefix("container-"))
    end = min(start + _PAGE, count)
    blobs = "".join(_BLOB.format(number) for number in range(start, end))
    return _LISTING.format(name=container, blobs=blobs, marker=end if end < count else "").encode()
