"""Where a project's state is found from wherever one stands in it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

HOME = ".reelroute"


def project_folder() -> Path:
    """The folder that state is in: the working directory, or the nearest one above it that has a `.reelroute` of ours.

    Somebody else's, in a folder that all may write to, is not taken.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        home = folder / HOME
        with suppress(OSError):
            if home.is_dir() and (folder == here or _is_ours(home)):
                return folder
    return here


def default_home() -> Path:
    """The state folder of that folder, there or not."""
    return project_folder() / HOME


def env_files() -> list[Path]:
    """Files with settings, of which the later ones decide: that of the project, and that of the working directory."""
    here, above = Path.cwd(), project_folder() / ".env"
    return [above, here / ".env"] if above.parent != here and _is_ours(above) else [here / ".env"]


def _is_ours(path: Path) -> bool:
    with suppress(OSError):
        return path.stat().st_uid == os.geteuid()
    return False
