"""Staged lines of several videos, put together to imports that are not too large.

Only the places of lines are in memory; a chunk's lines are read when it is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.sinks.base import Delivery
from tasks.sinks.labelbox.features import Feature

CHUNK_BYTES = 10_000_000
CHUNK_KEYFRAMES = 100_000
_NAME_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """One video's annotations, on disk until its batch is uploaded.

    Attributes:
        key: Its data row's global key.
        path: One annotation per line.
        lines: How many.
        features: What they need of an ontology.
    """

    delivery: Delivery
    key: str
    path: Path
    lines: int
    features: tuple[Feature, ...]

    @property
    def job_key(self) -> str:
        """Names the delivery."""
        return self.delivery.job_key


@dataclass(slots=True)
class Chunk:
    """Lines that make one import.

    Attributes:
        pieces: (video, first byte, byte behind the last) of its lines, in order.
        digest: Of its bytes: the same lines give the same digest.
    """

    pieces: list[tuple[Staged, int, int]] = field(default_factory=list)
    digest: str = ""

    @property
    def videos(self) -> list[Staged]:
        """Whose lines it has."""
        return [staged for staged, _, _ in self.pieces]

    def lines(self) -> Iterator[tuple[Staged, dict[str, Any]]]:
        """Read its lines, each with the video that it is of."""
        for staged, start, end in self.pieces:
            with staged.path.open("rb") as file:
                file.seek(start)
                for line in file.read(end - start).splitlines():
                    yield staged, json.loads(line)


def chunked(
    videos: Sequence[Staged], *, max_bytes: int = CHUNK_BYTES, max_keyframes: int = CHUNK_KEYFRAMES
) -> list[Chunk]:
    """Cut the lines of videos into chunks, in order; a line that is too large alone is a chunk of its own."""
    chunks: list[Chunk] = []
    size = keyframes = 0
    digest = hashlib.sha256()
    for staged in videos:
        with staged.path.open("rb") as file:
            start = 0
            for line in file:
                frames = line.count(b'"frame":')
                if not chunks or size + len(line) > max_bytes or keyframes + frames > max_keyframes:
                    _close(chunks, digest)
                    chunks.append(Chunk())
                    size = keyframes = 0
                    digest = hashlib.sha256()
                _extend(chunks[-1], staged, start, start + len(line))
                digest.update(line)
                start, size, keyframes = start + len(line), size + len(line), keyframes + frames
    _close(chunks, digest)
    return chunks


def _extend(chunk: Chunk, staged: Staged, start: int, end: int) -> None:
    if chunk.pieces and chunk.pieces[-1][0] is staged:
        chunk.pieces[-1] = (staged, chunk.pieces[-1][1], end)
    else:
        chunk.pieces.append((staged, start, end))


def _close(chunks: list[Chunk], digest: Any) -> None:
    if chunks:
        chunks[-1].digest = digest.hexdigest()[:_NAME_DIGITS]
