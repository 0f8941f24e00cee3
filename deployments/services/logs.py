"""What a service writes to stderr: our own records, and the warnings of everything else."""

from __future__ import annotations

import logging
import sys

from tasks.domain.log_lines import JsonFormatter
from tasks.domain.redaction import RedactingFilter

# Below these are our own loggers. Others say little of use at `info`, and httpx whole URLs.
_OURS = ("reelroute", "deployments", "flows", "tasks")


def log_to_stderr(level: str, log_format: str) -> None:
    """Send this process's log to stderr, with secrets taken out of it; replaces what was set up before.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``, for our own records.
        log_format: ``text``, or ``json`` for one object per line.
    """
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
