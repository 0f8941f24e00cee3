"""Change a small shared document in a store so that no concurrent change is lost."""

from __future__ import annotations

from collections.abc import Callable

import stamina

from tasks.domain.errors import ObjectMissing, PreconditionFailed
from tasks.storage.base import Storage


def swap(store: Storage, key: str, change: Callable[[bytes | None], bytes | None], *, content_type: str) -> None:
    """Replace the document by what ``change`` makes of it, or leave it where that is None.

    ``change`` gets the document as it is now, or None where there is none, and is called again
    with the newer one whenever somebody else wrote in between; it must have no other effect.

    Raises:
        PreconditionFailed: Others were faster for two whole minutes.
    """
    for attempt in stamina.retry_context(
        on=PreconditionFailed, attempts=None, timeout=120.0, wait_initial=0.02, wait_max=1.0, wait_jitter=0.2
    ):
        with attempt:
            version, document = _read(store, key)
            changed = change(document)
            if changed is not None:
                store.write(key, changed, content_type=content_type, if_match=version)


def _read(store: Storage, key: str) -> tuple[str, bytes | None]:
    """Return version and bytes; "" and None where nothing is.

    The version is taken first: bytes that are newer than it make the conditional write fail,
    never pass.
    """
    try:
        return store.stat(key).version, store.read(key)
    except ObjectMissing:
        return "", None
