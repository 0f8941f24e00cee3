"""Which of the listed objects are videos that a source wants: pure, no I/O.

Globs (:mod:`tasks.storage.globs`) are matched against the whole key below the source's root,
case-sensitively as keys are. The default, every known video suffix, takes any case: cameras write ``.MP4``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from tasks.domain.video import VideoRef, has_video_suffix
from tasks.storage.base import ObjectInfo
from tasks.storage.globs import compile_glob
from tasks.storage.not_footage import not_footage

# Why an object is not taken -> the same in words.
NOT_TAKEN = {
    "unreadable": "a link that leads outside or nowhere, or not ours to see",
    "marker": "a folder's placeholder",
    "suffix": "no video by its suffix",
    "include": "matches no include",
    "case": "matches an include but for upper and lower case",
    "exclude": "matches an exclude",
    "hidden": "hidden, or in a hidden folder",
    "system": "in a recycle bin or another folder of a system's own",
    "unfinished": "a part of a file that is still on its way",
    "age": "not changed recently enough",
    "size": "too small or too large",
    "archived": "must be restored before it can be read",
    "empty": "empty, and no video by its suffix",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a source lets through.

    Attributes:
        include: Globs, any of which must match; none means every known video suffix. A glob that
            ends in ``/*`` or ``/**`` says where and not what: there the suffix must be known too.
        exclude: Globs, none of which may match.
        modified_after: Timezone-aware; objects changed at or after it pass.
        min_size, max_size: Bytes, both inclusive.
        prefix: What the source itself names of the keys, up to the middle of a name.

    Raises:
        InputInvalid: A glob cannot be read.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    modified_after: datetime | None = None
    min_size: int | None = None
    max_size: int | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        for glob in self.include + self.exclude:
            compile_glob(glob)

    def reason_against(self, found: ObjectInfo) -> str:
        """Say why an object is left out: a name for the tally, or "" if it is wanted.

        An empty file with a video's suffix is wanted: it is somebody's failed upload, and
        belongs in the list of bad videos rather than in silence.
        """
        if found.unreadable:
            return "unreadable"
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
        return "empty" if not found.size and not has_video_suffix(found.key) else ""

    def _reason_against_name(self, key: str) -> str:
        matching = [glob for glob in self.include if compile_glob(glob).matches(key)]
        if self.include and not matching:
            nearly = any(compile_glob(glob, ignore_case=True).matches(key) for glob in self.include)
            return "case" if nearly else "include"
        mishap = not_footage(key, matching, self.prefix)
        if mishap == "unfinished":
            return mishap
        if all(_names_a_place(glob) for glob in matching) and not has_video_suffix(key):
            return "suffix"
        return "exclude" if any(compile_glob(glob).matches(key) for glob in self.exclude) else mishap


@dataclass(slots=True)
class Tally:
    """Counts of one selection: what was kept, and what was not taken, by reason.

    Reasons are the keys of :data:`NOT_TAKEN`.
    """

    kept: int = 0
    not_taken: Counter[str] = field(default_factory=Counter)


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
            tally.not_taken[reason] += 1
            continue
        tally.kept += 1
        yield VideoRef(
            uri=found.uri,
            version=found.version,
            size=found.size,
            modified=found.modified,
            name=name_prefix + found.key,
        )


def _names_a_place(glob: str) -> bool:
    return glob.rsplit("/", 1)[-1] in ("*", "**")
