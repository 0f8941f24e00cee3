"""Which imports were begun and not seen to their end, on this machine's disk.

A process that is killed leaves imports behind that go on at the service. The next delivery waits
for them before it replaces anything, so that nothing arrives late and makes a second copy, and
takes one over that is exactly what it would send.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path


class Journal:
    """Names of open imports, a small file for each; several processes may share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, parent: str, name: str) -> None:
        """Note an import, before it is asked for."""
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._path(parent, name).with_suffix(".part")
        part.write_text(json.dumps({"parent": parent, "name": name}))
        part.replace(self._path(parent, name))

    def close(self, parent: str, name: str) -> None:
        """Strike an import off, when what it did is settled."""
        self._path(parent, name).unlink(missing_ok=True)

    def left_open(self, parent: str) -> Iterator[str]:
        """Names of the open imports of a model run."""
        for path in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(FileNotFoundError, ValueError):  # closed meanwhile, or half a file of a full disk
                noted = json.loads(path.read_text())
                if noted["parent"] == parent:
                    yield noted["name"]

    def _path(self, parent: str, name: str) -> Path:
        return self._folder / f"{parent}-{name}.json"
