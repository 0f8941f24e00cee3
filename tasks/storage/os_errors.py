"""What the operating system says when a file operation fails, in the project's own errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.domain.errors import AccessDenied, KeyUnsafe, ObjectMissing, ReelrouteError, StorageUnavailable
from tasks.domain.video import printable

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_BLOCKED = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
_UNNAMEABLE = frozenset({errno.ENAMETOOLONG, errno.EILSEQ})


@contextmanager
def translated(action: str, key: str) -> Iterator[None]:
    """Turn an ``OSError`` of the block into one of ours; the key is shown, the errno explained.

    Args:
        action: "read", "write" and the like; it stands before the key in the message.
    """
    try:
        yield
    except OSError as error:
        raise translate(error, action, key) from None


def translate(error: OSError, action: str, key: str) -> ReelrouteError:
    """Name an ``OSError`` that happened while we tried to ``action`` ``key``."""
    message = f"cannot {action} {printable(key)}: {error.strerror or type(error).__name__}"
    code = error.errno
    if code in _UNNAMEABLE:
        return KeyUnsafe(
            message, hint="this file system cannot hold it: each name between slashes has at most 255 bytes"
        )
    if action == "write" and code in _BLOCKED:
        return KeyUnsafe(message, hint="a file stands where a folder is needed, or the other way round")
    if action != "write" and code in _MISSING:
        return ObjectMissing(message)
    if code in _DENIED:
        hint = "the disk is mounted read-only" if code == errno.EROFS else "check the owner and mode of file and folder"
        return AccessDenied(message, hint=hint)
    # A missing name in a write is a folder that somebody removed meanwhile: the next try makes it again.
    return StorageUnavailable(message, hint="the disk is full: make room, then run again" if code in _FULL else "")
