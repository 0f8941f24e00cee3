"""Bytes up and down by signed URL: a video to the service's bucket, results from it.

Both stream, both use the URL byte for byte, and neither sends a key with it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, Any

import httpx

from tasks.domain.errors import (
    AccessDenied,
    NotTheService,
    ObjectMissing,
    ReelrouteError,
    ResultExpired,
    ResultInvalid,
    ServiceUnavailable,
    StorageUnavailable,
)
from tasks.inference.answers import Discretion, transport_fault
from tasks.inference.base import Permit

CHUNK_BYTES = 1 << 20
_RESULT_CHUNK_BYTES = 64 << 10
# Bytes a second. Slower than this on the whole, beyond a first while, nobody sends or takes what he means to.
SLOWEST = 16 << 10
_ENDS = 64  # bytes at either end that the results are judged by


async def put_file(client: httpx.AsyncClient, url: str, path: Path, show: Discretion, patience_s: float) -> int:
    """Upload a file to a signed URL, reading it in chunks; return the HTTP status.

    Args:
        patience_s: What it may take beside the time that ``SLOWEST`` allows for its bytes.

    Raises:
        ObjectMissing, AccessDenied, StorageUnavailable: The file cannot be read, or changes meanwhile.
        ServiceUnavailable: The bucket did not answer.
    """
    try:
        size = (await asyncio.to_thread(path.stat)).st_size
        file = await asyncio.to_thread(path.open, "rb")
    except OSError as error:
        raise _unreadable(path, error, show) from None
    fault: ReelrouteError
    with file:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        try:
            async with asyncio.timeout(patience_s + size / SLOWEST):
                return (await client.put(url, content=_chunks(file, size), headers=headers)).status_code
        except TimeoutError:
            fault = too_slow(f"uploading {show(path.name)}")
        except httpx.RequestError as error:
            fault = transport_fault(f"uploading {show(path.name)}", error, show)
        except _Changed:
            fault = StorageUnavailable(f"{show(str(path))} changed while it was uploaded")
        except OSError as error:
            fault = _unreadable(path, error, show)
    raise fault


class _Changed(Exception):
    """The file does not have the size any more that was announced."""


async def _chunks(file: IO[bytes], size: int) -> AsyncIterator[bytes]:
    """Read exactly ``size`` bytes."""
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        size -= len(chunk)
        if size < 0:
            raise _Changed
        yield chunk
    if size:
        raise _Changed


def _unreadable(path: Path, error: OSError, show: Discretion) -> ReelrouteError:
    message = f"cannot read {show(str(path))}: {error.strerror or type(error).__name__}"
    if isinstance(error, FileNotFoundError):
        return ObjectMissing(message)
    if isinstance(error, PermissionError):
        return AccessDenied(message)
    return StorageUnavailable(message)


def too_slow(what: str) -> ServiceUnavailable:
    """What a transfer is that takes too long for its bytes."""
    return ServiceUnavailable(f"{what}: too slow, less than {SLOWEST >> 10} KiB a second")


async def keep_results(
    response: httpx.Response, target: Path, max_bytes: int, show: Discretion, limit: asyncio.Timeout
) -> int:
    """Stream an answer's body to ``target``, which appears only when whole; return its bytes.

    The body is judged by its ends alone: it must look like one JSON object with something in it.

    Args:
        limit: Ends the download; put off by what ``SLOWEST`` allows for the bytes that come.

    Raises:
        ResultExpired: It is a bucket's refusal.
        NotTheService: It is a web page.
        ResultInvalid: It is something else, or larger than ``max_bytes``.
        ServiceUnavailable: It broke off.
        StorageUnavailable: The disk did not take it.
    """
    part: Path | None = None
    try:
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        with _open_part(target) as file:
            part = Path(file.name)
            size = await _write(response, file, max_bytes, limit)
        await asyncio.to_thread(part.replace, target)
    except OSError as error:
        raise StorageUnavailable(
            f"cannot write results in {show(str(target.parent))}: {error.strerror or type(error).__name__}",
            hint="free space there, or set REELROUTE_HOME to a disk that has some",
        ) from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return size


def _open_part(target: Path) -> IO[bytes]:
    return tempfile.NamedTemporaryFile(dir=target.parent, prefix=".download-", suffix=".part", delete=False)


async def _write(response: httpx.Response, file: IO[bytes], max_bytes: int, limit: asyncio.Timeout) -> int:
    """Write and judge the body chunk by chunk."""
    head, tail, size = b"", b"", 0
    async for chunk in response.aiter_bytes(_RESULT_CHUNK_BYTES):
        size += len(chunk)
        limit.reschedule((limit.when() or 0.0) + len(chunk) / SLOWEST)
        if size > max_bytes:
            raise ResultInvalid(f"the results are larger than {max_bytes} bytes")
        if len(head) < _ENDS:
            head += chunk[:_ENDS]
            _judge_start(head)
        tail = (tail + chunk)[-_ENDS:]
        await asyncio.to_thread(file.write, chunk)
    # httpx has raised if fewer bytes came than were announced; without a length, nobody knows.
    whole = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    _judge_end(head, tail, size, whole=whole)
    return size


def _judge_start(head: bytes) -> None:
    """Refuse at once what cannot be a JSON object."""
    start = head.lstrip()
    if start.startswith((b"<?xml", b"<Error")):  # a bucket's way to refuse
        raise ResultExpired("the result URL gave an XML error instead of results")
    if start and not start.startswith(b"{"):
        if start.startswith(b"<"):  # what stands in between shows it; the results may be there later
            raise NotTheService("the result URL gave a web page instead of results")
        raise ResultInvalid("what was downloaded is not a JSON object, not results")


def _judge_end(head: bytes, tail: bytes, size: int, *, whole: bool) -> None:
    """Refuse an empty object and one that is not closed."""
    if size <= _ENDS and b"".join(head.split()) == b"{}":
        raise ResultInvalid(
            "the service gave empty results",
            hint="it does so when `inference.fps` is above the video's own frame rate",
        )
    if tail.rstrip().endswith(b"}"):
        return
    if whole:
        raise ResultInvalid("the results end in mid-JSON" if size else "the results are an empty file")
    raise ServiceUnavailable(f"the results broke off after {size} bytes")


def checking(permit: Permit) -> Callable[[str, Any], Awaitable[None]]:
    """Have a permit checked when the connection is open and nothing is sent (httpcore's trace extension)."""

    async def trace(event: str, _: Any) -> None:
        if event.endswith("send_request_headers.started"):
            permit.check()

    return trace
