"""Where sinks put files together before they upload them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.domain.errors import StorageUnavailable


@contextmanager
def staging(work: Path, what: str) -> Iterator[Path]:
    """Lend a folder on local disk, among the run's own work: what a killed run leaves there is cleared away.

    Args:
        what: What is staged, for the message.

    Raises:
        StorageUnavailable: The local disk is full or refuses.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="staging-", dir=work) as folder:
            yield Path(folder)
    except OSError as error:
        raise StorageUnavailable(f"cannot stage {what} on the local disk: {error.strerror or error}") from None
