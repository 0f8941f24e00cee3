"""Names videos to Labelbox, which knows a data row by its global key. No I/O."""

from __future__ import annotations

import hashlib
import re

# Labelbox documentation, "Data row global keys": these characters, 200 of them at most, unique
# in the organisation whatever their case, no space at either end.
_FOREIGN = re.compile(r"[^A-Za-z0-9!_.*'()&$@=;/:+ ,?-]")
_LONGEST = 200
_DIGEST_DIGITS = 16
_LOOKS_SUFFIXED = re.compile(rf"-[0-9a-f]{{{_DIGEST_DIGITS}}}\Z")


def global_key(uri: str) -> str:
    """Name the video's data row; the same URI always gets the same key, another one another.

    The URI itself where it may be one. Else what Labelbox does not allow becomes ``_``, a long
    key keeps its end, and a digest of the URI keeps keys apart: also where only the case of
    letters would, which Labelbox does not tell apart.
    """
    readable = _FOREIGN.sub("_", uri)
    if readable == uri == uri.strip(" ").lower() and len(uri) <= _LONGEST and not _LOOKS_SUFFIXED.search(uri):
        return uri
    digest = hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
    return f"{readable[-(_LONGEST - _DIGEST_DIGITS - 1) :].strip(' ')}-{digest}"
