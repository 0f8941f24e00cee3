"""Which of the listed objects are videos that a source wants: pure, no I/O.

Globs are matched against the whole key below the source's root, case-sensitively as keys are:

    *        any run of characters within one folder
    ?        one character, not a slash
    [a-z]    one of these; [!a-z] one of the others
    **       any run of characters, slashes too; ``**/`` also stands for no folder at all,
             so ``**/*.mp4`` finds ``clip.mp4`` at the top

The default, every known video suffix, takes any case: cameras write ``.MP4``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from tasks.domain.errors import InputInvalid
from tasks.domain.video import VIDEO_SUFFIXES, VideoRef, printable
from tasks.storage.base import ObjectInfo

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[(?P<set>!?\]?[^\]]*)\]|.", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a source lets through.

    Attributes:
        include: Globs, any of which must match; none means every known video suffix. A glob that
            ends in ``/*`` or ``/**`` says where and not what: there the suffix must be known too.
        exclude: Globs, none of which may match.
        modified_after: Timezone-aware; objects changed at or after it pass.
        min_size, max_size: Bytes, both inclusive.

    Raises:
        InputInvalid: A glob cannot be read.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    modified_after: datetime | None = None
    min_size: int | None = None
    max_size: int | None = None

    def __post_init__(self) -> None:
        for glob in self.include + self.exclude:
            compile_glob(glob)

    def reason_against(self, found: ObjectInfo) -> str:
        """Say why an object is left out: a name for the tally, or "" if it is wanted.

        An empty file with a video's suffix is wanted: it is somebody's failed upload, and
        belongs in the list of bad videos rather than in silence.
        """
        if found.key.endswith("/"):
            return "marker"
        if reason := self._reason_against_name(found.key):
            return reason
        if self.modified_after and found.modified < self.modified_after:
            return "age"
        if found.size < (self.min_size or 0) or (self.max_size is not None and found.size > self.max_size):
            return "size"
        if found.archived:
            return "archived"
        return "empty" if not found.size and not _has_video_suffix(found.key) else ""

    def _reason_against_name(self, key: str) -> str:
        if not self.include:
            if not _has_video_suffix(key):
                return "suffix"
        else:
            matching = [glob for glob in self.include if compile_glob(glob).match(key)]
            if not matching:
                return "include"
            if all(_names_a_place(glob) for glob in matching) and not _has_video_suffix(key):
                return "suffix"
        return "exclude" if any(compile_glob(glob).match(key) for glob in self.exclude) else ""


@dataclass(slots=True)
class Tally:
    """Counts of one selection: what was kept, and what was left out, by reason.

    Reasons are ``marker`` (a folder's placeholder), ``suffix``, ``include``, ``exclude``,
    ``age``, ``size``, ``archived`` (wanted, but in a tier that must be restored before it can be
    read) and ``empty`` (no bytes, and no video by its name).
    """

    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def select(
    objects: Iterable[ObjectInfo], wanted: Filter, tally: Tally | None = None, *, name_prefix: str = ""
) -> Iterator[VideoRef]:
    """Stream the wanted objects as videos, in the order of the listing.

    Args:
        tally: Filled as the stream is read.
        name_prefix: Put before each key to make the video's name, such as ``"gate-2/"``.
    """
    tally = tally or Tally()
    for found in objects:
        if reason := wanted.reason_against(found):
            tally.left_out[reason] += 1
            continue
        tally.kept += 1
        yield VideoRef(
            uri=found.uri,
            version=found.version,
            size=found.size,
            modified=found.modified,
            name=name_prefix + found.key,
        )


@lru_cache(maxsize=1024)
def compile_glob(glob: str) -> re.Pattern[str]:
    """Translate a glob to a pattern for ``match`` on whole keys.

    Raises:
        InputInvalid: It is empty, or has a bracket that does not close or a range that runs backwards.
    """
    if not glob:
        raise InputInvalid("an empty glob matches nothing", hint="leave it out, or write **")
    # Runs of **/ say the same as one and would make the pattern slow.
    tokens = _TOKEN.finditer(re.sub(r"(\*\*/)+", "**/", glob))
    try:
        return re.compile("".join(_pattern(token) for token in tokens) + r"\Z", re.DOTALL)
    except re.error:
        raise InputInvalid(
            f"the glob {printable(glob)!r} has a bracket that cannot be read", hint="write [[] for a bracket itself"
        ) from None


def _pattern(token: re.Match[str]) -> str:
    text = token[0]
    if text == "**/":
        return "(?:.*/)?"
    if text in ("**", "*", "?"):
        return {"**": ".*", "*": "[^/]*", "?": "[^/]"}[text]
    if (members := token["set"]) is not None:
        negated = members.startswith("!")
        escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", members.removeprefix("!"))
        return f"(?!/)[{'^' if negated else ''}{escaped}]"
    if text == "[":
        raise re.error("unclosed bracket")
    return re.escape(text)


def _names_a_place(glob: str) -> bool:
    return glob.rsplit("/", 1)[-1] in ("*", "**")


def _has_video_suffix(key: str) -> bool:
    stem, dot, suffix = key.rsplit("/", 1)[-1].rpartition(".")
    return bool(stem and dot) and f".{suffix.lower()}" in VIDEO_SUFFIXES
