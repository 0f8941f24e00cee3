"""The pull step of our deployments: go to the folder that a run works in, with our own packages loaded already.

Prefect puts the current folder before everything else when it imports a flow. That folder is the
user's, who may have a ``config.py`` or a package ``flows`` there: it would be executed in place of ours.
"""

from __future__ import annotations

import os
from importlib import import_module

PACKAGES = ("config", "tasks", "flows", "deployments")


def work_in(directory: str) -> dict[str, str]:
    """Make ``directory`` the current folder, where ``config/pipelines`` and ``.env`` are; nothing is imported from it.

    Raises:
        OSError: It does not exist on this machine, or cannot be entered.
    """
    for package in PACKAGES:
        import_module(package)  # its modules are looked for where it was found
    os.chdir(directory)
    return {"directory": directory}
