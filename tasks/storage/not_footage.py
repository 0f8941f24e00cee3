"""Objects that lie among videos, often under a video's name, and are nobody's footage.

Computers leave them beside the files that people put there: macOS a ``._clip.mp4`` for each file
on a disk that is not its own, NAS and desktops recycle bins and thumbnails, browsers and sync
clients the first half of a file. As in a shell, what is hidden is taken by whoever names it: a glob of
``include`` with a part that begins with the same character and matches that name, such as
``**/.takes/**``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from tasks.domain.errors import InputInvalid
from tasks.domain.video import has_video_suffix
from tasks.storage.globs import compile_glob

# Folders of Windows, macOS, Linux, Android and NAS that hold what was deleted, or pictures of videos.
SYSTEM_FOLDERS = (
    *("$RECYCLE.BIN", "RECYCLER", "Recycled", "System Volume Information", "$Extend"),
    *(f"FOUND.{number:03}" for number in range(10)),
    *("lost+found", "LOST.DIR", "__MACOSX", "Network Trash Folder", "Temporary Items", "Recycle Bin", "RecycleBin"),
    "files_trashbin",
    *(
        "@eaDir",
        "#recycle",
        "#snapshot",
        "@tmp",
        "@sharebin",
        "@Recycle",
        "@Recently-Snapshot",
        "@Transcode",
        "~snapshot",
    ),
    *("thumbnails", "thumbnail", "thumbs", "THMBNL"),
)
# What browsers, download managers and sync clients put behind the name of a file that is not whole yet.
UNFINISHED_SUFFIXES = (
    *(".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload", ".tmp", ".temp", ".ytdl"),
    *(".aria2", ".!ut", ".!qb", ".bc!", ".unfinished", ".incomplete", ".uploading", ".upload", "~"),
)

# The second is of files that office programs put beside an open one.
_HIDDEN = re.compile(r"(?:^|(?<=/))(?:\.|~\$)[^/]+")
_SYSTEM = re.compile(rf"(?:^|(?<=/))(?:{'|'.join(map(re.escape, SYSTEM_FOLDERS))})(?=/)", re.IGNORECASE)


def not_footage(key: str, include: Sequence[str], prefix: str = "") -> str:
    """Say what an object is if its name shows that it is nobody's footage, or "".

    Args:
        include: The globs that match the key.
        prefix: What the source itself names of the key, up to the middle of a name.

    Returns:
        ``hidden`` (it, or a folder it is in, begins with a dot or ``~$``), ``system`` (in a recycle bin, a
        folder of thumbnails or another of a system's own), ``unfinished`` (a part of a file), or "".
    """
    named = key.partition("/")[0] if prefix else ""
    for reason, pattern in (("hidden", _HIDDEN), ("system", _SYSTEM)):
        if any(part != named and not _names(include, part) for part in pattern.findall(key)):
            return reason
    if any(part != named and _is_unfinished(part) for part in key.split("/")):
        named_so = any(piece.lower().endswith(UNFINISHED_SUFFIXES) for glob in include for piece in glob.split("/"))
        return "" if named_so else "unfinished"
    return ""


def _is_unfinished(name: str) -> bool:
    """Tell whether it is a part of a file by its name, or the folder that a browser keeps one in."""
    return name.lower().endswith(UNFINISHED_SUFFIXES) and has_video_suffix(_without_ending(name))


def _names(globs: Sequence[str], part: str) -> bool:
    """Tell whether a glob has a part of its own for a folder or file of that name."""
    for glob in globs:
        for piece in glob.split("/"):
            with suppress(InputInvalid):  # a piece of a set that holds a slash
                if piece[:1] == part[0] and compile_glob(piece).matches(part):
                    return True
    return False


def _without_ending(name: str) -> str:
    return name.removesuffix("~") if name.endswith("~") else name.rpartition(".")[0]
