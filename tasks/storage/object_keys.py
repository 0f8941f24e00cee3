"""Which keys of a bucket can be addressed safely, the same for every cloud.

Buckets hold almost any text as a key. Three kinds are refused here: those that HTTP clients
rewrite on the way (dot segments, which would lead out of the root), those that no request can
carry (NUL, lone surrogates), and the empty one. Nothing here talks to a store.
"""

from __future__ import annotations

import re

from tasks.domain.errors import KeyUnsafe
from tasks.domain.video import printable

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_key(key: str) -> str:
    """Return ``key`` as it is, when every client can fetch, write and delete it by URL.

    Raises:
        KeyUnsafe: It is empty, has a ``.`` or ``..`` segment, or holds NUL or a lone surrogate.
    """
    if not key:
        raise KeyUnsafe("an empty key names no object", hint="name an object below the root")
    if not {".", ".."}.isdisjoint(key.split("/")):
        raise KeyUnsafe(f"{printable(key)!r} has a '.' or '..' segment, which clients remove from URLs")
    if "\0" in key:
        raise KeyUnsafe(f"{printable(key)!r} holds a NUL character", hint="rename the object")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise KeyUnsafe(f"{printable(key)!r} is not text that UTF-8 can hold", hint="rename the object") from None
    return key


def is_plain(path: str) -> bool:
    """Whether clients that think in paths keep the whole name of a checked key, bucket's prefix included.

    Such clients take slashes away at both ends, and refuse double slashes and control characters.
    """
    return not (path.startswith("/") or path.endswith("/") or "//" in path or _CONTROL.search(path))
