"""Videos that callers send us: streamed to disk under names of our own making."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import anyio

from deployments.services.inference.jobs import private_folder
from tasks.domain.errors import ObjectMissing, VideoTooLarge

_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_BLOCK = 1 << 20


class Uploads:
    """The uploads folder of a state folder. What callers call their files never becomes a path."""

    def __init__(self, state_dir: Path, max_bytes: int) -> None:
        self._folder = private_folder(state_dir / "uploads")
        self._max_bytes = max_bytes

    def new_id(self) -> str:
        """A name that nobody can guess or choose."""
        return uuid.uuid4().hex

    def refuse_larger(self, size: int) -> None:
        """Let no more bytes through than the service takes.

        Raises:
            VideoTooLarge: ``size`` is over the limit.
        """
        if size > self._max_bytes:
            raise VideoTooLarge(f"the video is larger than the {self._max_bytes} bytes that this service takes")

    async def receive(self, upload_id: str, chunks: AsyncIterator[bytes]) -> int:
        """Write the body to disk; the upload appears only when it is whole. Return its bytes.

        Raises:
            VideoTooLarge: The limit was passed; nothing is kept.
        """
        part = anyio.Path(self._folder / f"{upload_id}.{uuid.uuid4().hex}.part")
        size, waiting = 0, bytearray()
        try:
            async with await part.open("xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    self.refuse_larger(size)
                    waiting += chunk
                    if len(waiting) >= _BLOCK:  # one trip to a thread per block, not per chunk
                        await file.write(bytes(waiting))
                        waiting.clear()
                await file.write(bytes(waiting))
            await part.replace(self._folder / upload_id)
        finally:
            with anyio.CancelScope(shield=True):
                await part.unlink(missing_ok=True)
        return size

    def take(self, upload_id: str) -> Path:
        """The uploaded file; its retention starts again.

        Raises:
            ObjectMissing: Nothing was uploaded under this name, or it was deleted since.
        """
        path = self._folder / upload_id
        if not _UPLOAD_ID.fullmatch(upload_id) or not path.is_file():
            raise ObjectMissing("nothing was uploaded to this URL (any more)", hint="PUT the video to the URL first")
        path.touch()
        return path

    def prune(self, before: datetime) -> int:
        """Delete uploads that nobody used since then; return how many."""
        pruned = 0
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another service may prune at the same time
                if path.stat().st_mtime < before.timestamp():
                    path.unlink()
                    pruned += 1
        return pruned
