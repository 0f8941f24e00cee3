"""Log records as JSON, one line each, for those who collect logs with a machine.

Formats only: what must not be shown is taken out before, by
:class:`tasks.domain.redaction.RedactingFilter` on the same handler.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """Writes ``time``, ``level``, ``logger``, ``message`` and, where there is one, ``exception``.

    Whatever a record carries besides (``extra=…``, the names and ids that Prefect adds) follows
    under its own name, if it is text, a number or a truth. A line is ASCII and holds no line break,
    whatever the message holds.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object on one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        if record.stack_info:
            trace = f"{trace}\n{record.stack_info}" if trace else record.stack_info
        if trace:
            line["exception"] = trace
        for name, value in vars(record).items():
            if name not in _STANDARD_FIELDS and name not in line and isinstance(value, str | int | float):
                line[name] = value
        return json.dumps(line)
