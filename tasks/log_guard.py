"""Keep secrets out of every log that a run writes, whoever started it, and write it as people asked."""

from __future__ import annotations

import logging

from prefect.logging.handlers import PrefectConsoleHandler

from tasks.domain.log_lines import JsonFormatter
from tasks.domain.redaction import RedactingFilter

# Handlers of these are Prefect's own: the console, and the one that sends records to its server.
_LOGGERS = ("", "prefect", "prefect.flow_runs", "prefect.task_runs", "prefect.extra", "uvicorn", "fastapi")


def guard_logs(log_format: str = "text") -> None:
    """Put a redacting filter on the handlers that are there; calling it again changes nothing.

    Args:
        log_format: With ``json``, what Prefect would print for people becomes one JSON object per line.
    """
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if log_format == "json":
            logger.handlers[:] = [_as_json(handler) for handler in logger.handlers]
        for handler in logger.handlers:
            if not any(isinstance(known, RedactingFilter) for known in handler.filters):
                handler.addFilter(RedactingFilter())


def _as_json(handler: logging.Handler) -> logging.Handler:
    """A handler of the same stream that writes JSON; any but Prefect's console stays as it is."""
    # A formatter would not do: the console goes on to colour what it is given, and to read :this: as an emoji.
    if not isinstance(handler, PrefectConsoleHandler):
        return handler
    plain = logging.StreamHandler(handler.stream)
    plain.setLevel(handler.level)
    plain.setFormatter(JsonFormatter())
    for known in handler.filters:
        plain.addFilter(known)
    return plain
