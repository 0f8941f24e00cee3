"""Keep secrets out of every log that a run writes, whoever started it."""

from __future__ import annotations

import logging

from tasks.domain.redaction import RedactingFilter

# Handlers of these are Prefect's own: the console, and the one that sends records to its server.
_LOGGERS = ("", "prefect", "prefect.flow_runs", "prefect.task_runs", "prefect.extra", "uvicorn", "fastapi")


def guard_logs() -> None:
    """Put a redacting filter on the handlers that are there; calling it again changes nothing."""
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(known, RedactingFilter) for known in handler.filters):
                handler.addFilter(RedactingFilter())
