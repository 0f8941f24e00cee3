"""What tests of folders look at and do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.storage.local import LocalStorage


def keys(store: LocalStorage, prefix: str = "") -> list[str]:
    return [found.key for found in store.list(prefix)]


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights where the tests run as root, whom no mode bits stop."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
