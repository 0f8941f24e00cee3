"""The Prefect server that Prefect starts for a run, where none is configured: it gets Prefect's settings only."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

from tasks.domain.environment import child_environment


def keep_secrets_from_own_server() -> None:
    """Let a server that Prefect starts from here on have no cloud's login, no key of ours and no ledger's address.

    Prefect hands the whole environment on and has no setting for it, so its module is given another
    ``Popen``; a test looks at the real server's environment.
    """
    from prefect.server.api import server

    module: Any = server
    module.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": _start})


def _start(*arguments: Any, env: dict[str, str], **more: Any) -> Any:
    """Start a process that is given less of our environment than was meant for it."""
    popen: Any = subprocess.Popen
    return popen(*arguments, env=child_environment(env, ("DO_NOT_TRACK",), like=("PREFECT_",)), **more)
