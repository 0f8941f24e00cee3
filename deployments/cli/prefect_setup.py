"""Set Prefect up before it is imported, for people who have not set it up themselves."""

from __future__ import annotations

import logging
import os

# Prefect's defaults record one event per transaction; these cut its server's CPU to a third.
SERVER_BATCHES = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "2",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "200",
}


def prepare_prefect(*, log_level: str, verbose: bool, log_format: str = "text") -> None:
    """Set what the environment leaves open, and keep the log off the terminal unless asked for.

    A log in JSON is for a machine that collects it, and is always written.

    Without a server configured, Prefect starts one of its own for the run; on a busy machine that
    takes longer than the 20 seconds it allows itself.
    """
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", log_level.upper())
    # Our steps' own loggers are sent to Prefect with the run that they belong to.
    os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "tasks")
    for name, value in SERVER_BATCHES.items():
        os.environ.setdefault(name, value)
    from prefect.logging.configuration import setup_logging

    setup_logging()
    if log_format == "json":
        from tasks.log_guard import guard_logs

        guard_logs(log_format)
    elif not verbose:
        for handler in logging.getLogger().handlers:
            handler.setLevel(logging.CRITICAL + 1)
