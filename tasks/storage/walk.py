"""Walk a folder as a bucket is listed: keys in byte order, one folder's names in memory at a time."""

# ruff: noqa: PTH116 - names are bytes as the file system gives them, a million of them in a walk

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.domain.video import printable
from tasks.domain.wording import count_of
from tasks.storage.atomic import TEMP_PREFIX

log = logging.getLogger(__name__)
_TEMP_PREFIX = TEMP_PREFIX.encode()


@dataclass(slots=True)
class Walk:
    """One pass over the regular files below ``root`` whose key starts with ``prefix``.

    Symlinks to files inside the root are listed like files. Links to folders (which would list
    the same files twice, or for ever), out of the root or to nowhere come without a stat, as do
    folders and files that cannot be looked at; they are logged, and never end the walk.

    Attributes:
        root: The folder, every symlink resolved, without trailing slash.
        prefix: Plain prefix of keys; need not end at a slash.
    """

    root: bytes
    prefix: bytes
    left_out: int = 0
    first_left_out: bytes = b""

    def __iter__(self) -> Iterator[tuple[bytes, os.stat_result | None]]:
        """Yield each file's key and stat, in byte order of the keys; None for what cannot be looked at.

        Raises:
            OSError: The root itself cannot be listed.
        """
        pending = [(b"", self._names(b""))]
        while pending:
            folder, names = pending[-1]
            if not names:
                pending.pop()
                continue
            key = folder + names.pop()
            try:
                if key.endswith(b"/"):
                    pending.append((key, self._names(key)))
                elif found := self._file(key):
                    yield key, found
            except FileNotFoundError:  # gone since its folder was read
                continue
            except OSError as error:
                self._note(key, error)
                yield key, None
        if self.left_out:
            log.warning(
                "left out %s below %s: links to folders, outside or nowhere, or not ours to see; the first is %s",
                count_of(self.left_out, "file"),
                _shown(self.root),
                _shown(self.first_left_out),
            )

    def _names(self, folder: bytes) -> list[bytes]:
        """Names in a folder that may lead to the prefix, last first; sub-folders end with a slash.

        The slash takes part in the order, so that keys come as a bucket lists them: ``a!`` before ``a/b``.
        """
        names = []
        with os.scandir(self.root + b"/" + folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                name = entry.name + b"/" if is_folder else entry.name
                if self._leads_to_prefix(folder + name, is_folder) and not name.startswith(_TEMP_PREFIX):
                    names.append(name)
        names.sort(reverse=True)
        return names

    def _leads_to_prefix(self, key: bytes, is_folder: bool) -> bool:
        return key.startswith(self.prefix) or (is_folder and self.prefix.startswith(key))

    def _note(self, key: bytes, error: OSError) -> None:
        if key.endswith(b"/"):
            log.warning("left out the folder %s: %s", _shown(self.root + b"/" + key), error.strerror)
        else:
            self.left_out += 1
            self.first_left_out = self.first_left_out or key

    def _file(self, key: bytes) -> os.stat_result | None:
        path = self.root + b"/" + key
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            found = self._linked_file(path)
        return found if stat.S_ISREG(found.st_mode) else None

    def _linked_file(self, link: bytes) -> os.stat_result:
        try:
            found = os.stat(link)
        except FileNotFoundError:
            raise OSError("leads to nowhere") from None
        if not stat.S_ISREG(found.st_mode) or not os.path.realpath(link).startswith(self.root.rstrip(b"/") + b"/"):
            raise OSError("leads to no file inside the root")
        return found


def _shown(name: bytes) -> str:
    return printable(os.fsdecode(name))
