"""Write many small objects to a bucket at a tenth of a cloud SDK's CPU, with obstore.

Only for objects that we name ourselves: obstore can neither hold every key nor list or sign
what users have. Whatever it cannot do, or fails at, is written again through the cloud's SDK,
which thereby has the last word and explains every failure in its own terms. Writes that depend
on what is there (``if_match``) go through the SDK alone: a lost answer must not look like
somebody else's write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from tasks.storage.bulk import for_each
from tasks.storage.object_keys import check_key, is_plain

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

WORKERS = 32

# Short: after these the SDK tries, with its own retries and its own words.
RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


def client_options(*, plain_http: bool) -> ClientConfig:
    """How obstore's HTTP client is set up, whichever cloud it talks to.

    Args:
        plain_http: Allow ``http://``, for emulators and stores inside a private network.
    """
    return {"allow_http": plain_http, "connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=60)}


def write_all(
    store: ObjectStore,
    items: Iterator[tuple[str, bytes]],
    *,
    prefix: str,
    content_type: str,
    by_sdk: Callable[[str, bytes], object],
) -> int:
    """Write each (key, content), 32 at a time, taking items as they are needed; return how many.

    Args:
        store: Bound to the bucket, with no prefix of its own.
        prefix: Of the root within the bucket; "" or with its trailing slash.
        by_sdk: Writes one object by its key below the root. Called for names that obstore cannot
            hold and after obstore failed, from several threads; its error ends the batch.

    Raises:
        KeyUnsafe: A key cannot be addressed; see :func:`tasks.storage.object_keys.check_key`.
    """
    import obstore
    from obstore.exceptions import BaseError

    attributes = {"Content-Type": content_type}

    def write_one(item: tuple[str, bytes]) -> None:
        key, data = item
        path = prefix + check_key(key)
        if is_plain(path):
            try:
                obstore.put(store, path, data, attributes=attributes, use_multipart=False)
            except (BaseError, OSError, ValueError):  # "not found" is a FileNotFoundError
                pass  # its text may hold URLs; the SDK finds the same trouble and names it
            else:
                return
        by_sdk(key, data)

    return for_each(write_one, items, workers=WORKERS, size_of=lambda item: len(item[1]))
