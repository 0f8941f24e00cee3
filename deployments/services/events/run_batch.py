"""Run one batch in this process: ``python -m deployments.services.events.run_batch PIPELINE BATCH``."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import Any


def main(pipeline: str, batch: str) -> int:
    """Run the flow as `reelroute run` would; return its exit code."""
    from deployments.cli.output import Printer
    from deployments.cli.run import run_flow
    from tasks.domain.errors import ReelrouteError

    printer = Printer(as_json=False)

    def start() -> Coroutine[Any, Any, dict[str, Any]]:
        from flows.on_upload import on_upload

        return on_upload(pipeline=pipeline, batch=batch)

    try:
        summary = run_flow(start, printer, verbose=False, stage="looking uploads up")
    except ReelrouteError as error:
        printer.error(error)
        return error.exit_code
    if not summary:
        return 0
    # Not earlier: it imports Prefect, which reads its settings at once, before they were prepared.
    from tasks.report import headline

    printer.say(f"{summary['pipeline']}: {headline(summary)}")
    return int(summary["exit_code"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
