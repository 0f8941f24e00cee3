"""The service's log: lines on stderr, without secrets."""

from __future__ import annotations

import logging

from tasks.domain.redaction import RedactingFilter


def log_to_stderr(level: str) -> None:
    """Show what the service says, whatever Prefect does with the log of runs."""
    log = logging.getLogger("reelroute.events")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(RedactingFilter())
    log.addHandler(handler)
    log.setLevel(level.upper())
    log.propagate = False
