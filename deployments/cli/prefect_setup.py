"""Set Prefect up before it is imported, for people who have not set it up themselves."""

from __future__ import annotations

import logging
import os
from pathlib import Path

# What we ask of any Prefect server; one that is started for a run gets it too.
SERVER_ENV = Path(__file__).parents[1] / "server.env"


def prepare_prefect(*, log_level: str, verbose: bool, log_format: str = "text", own_server: bool = False) -> None:
    """Set what the environment leaves open, and keep the log off the terminal unless asked for.

    A log in JSON is for a machine that collects it, and is always written.

    Without a server configured, Prefect starts one of its own for the run; on a busy machine that
    takes longer than the 20 seconds it allows itself.

    Args:
        own_server: This command asks Prefect something, and so may start such a server.
    """
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", log_level.upper())
    # Our steps' own loggers are sent to Prefect with the run that they belong to.
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "tasks")
    # Prefect's notice of what it sends home would come between the bars.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    for name, value in server_settings().items():
        # A server of the run's own works on the user's own database: there, nothing is deleted unless the user says so.
        if not name.startswith("PREFECT_SERVER_SERVICES_DB_VACUUM_"):
            os.environ.setdefault(name, value)
    from prefect.logging.configuration import setup_logging

    setup_logging()
    if log_format == "json":
        from tasks.log_guard import guard_logs

        guard_logs(log_format)
    elif not verbose:
        for handler in logging.getLogger().handlers:
            handler.setLevel(logging.CRITICAL + 1)
    if own_server:
        from prefect.settings import PREFECT_API_URL

        if not PREFECT_API_URL.value():
            from deployments.cli.own_server import keep_secrets_from_own_server

            keep_secrets_from_own_server()


def server_settings() -> dict[str, str]:
    """The settings in ``deployments/server.env``."""
    lines = SERVER_ENV.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
