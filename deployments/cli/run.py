"""``reelroute run``: the whole way, once, with bars while it goes and a summary at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from deployments.cli.options import Json, PipelineName, Verbose
from deployments.cli.output import Printer


def run(
    pipeline: PipelineName,
    limit: Annotated[int, typer.Option(min=0, help="Submit at most so many videos; 0 for no limit.")] = 0,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for results and route them, or leave them.")
    ] = True,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List, submit, wait, route: run a pipeline once. Safe to repeat; resumes what was left."""
    printer = Printer(as_json=as_json)
    summary = run_pipeline(pipeline, printer, limit=limit, wait=wait, verbose=verbose)
    show(summary, printer)
    printer.result(summary)
    raise typer.Exit(summary["exit_code"])


def run_pipeline(
    pipeline: str, printer: Printer, *, limit: int = 0, wait: bool = True, verbose: bool = False
) -> dict[str, Any]:
    """Run a pipeline in this process and return its summary.

    Raises:
        ReelrouteError: What ended the run before it could summarise.
    """
    from config.settings import Settings
    from tasks.kept import named_pipeline
    from tasks.leaving import require_service_that_stays

    # Before anything slow: mistakes are told at once.
    settings = Settings.load()
    loaded = named_pipeline(pipeline, settings)
    if not wait:
        require_service_that_stays(loaded, settings)

    def start() -> Coroutine[Any, Any, dict[str, Any]]:
        from flows.ingest import ingest

        return ingest(pipeline=pipeline, limit=limit, wait=wait)

    return run_flow(start, printer, verbose=verbose, stage="listing videos")


def run_flow(
    start: Callable[[], Coroutine[Any, Any, dict[str, Any]]], printer: Printer, *, verbose: bool, stage: str
) -> dict[str, Any]:
    """Run a flow in this process, with bars, until it ends or a signal winds it down; return its summary.

    Args:
        start: Imports the flow and calls it; Prefect is set up by then.
        stage: What it does first, in words.

    Raises:
        ReelrouteError: What ended the flow before it could summarise.
    """
    from config.settings import Settings

    settings = Settings.load()
    from deployments.cli.bars import watching
    from deployments.cli.prefect_setup import prepare_prefect
    from deployments.cli.stopping import run_stoppable

    for_people = sys.stderr.isatty() and not verbose and settings.log_format == "text"
    with watching(enabled=for_people) as bars:
        bars.stage("starting Prefect")
        prepare_prefect(log_level=settings.log_level, log_format=settings.log_format, verbose=verbose, own_server=True)
        first = start()
        bars.stage(stage)
        from prefect.settings import PREFECT_API_URL

        from deployments.server_errors import in_our_words

        url = PREFECT_API_URL.value()
        with in_our_words(f"at {url}" if url else "of this run"):
            # What is said while bars show goes through them: else it lands on a bar's line.
            say = bars.say if for_people else printer.say
            try:
                return run_stoppable(lambda: first, say)
            except SystemExit as stopped:  # it could not end in order
                printer.failure("interrupted", "stopped before its end", exit_code=int(stopped.code or 0))
                raise


def show(summary: dict[str, Any], printer: Printer) -> None:
    """Print a run's summary for people."""
    from rich.table import Table
    from rich.text import Text

    from tasks.domain.video import printable
    from tasks.report import headline
    from tasks.storage.filters import NOT_TAKEN

    console = printer.console
    table = Table(show_header=False, box=None, pad_edge=False)
    for name in ("discovered", "skipped", "submitted", "succeeded", "reused", "failed", "unknown", "in_flight"):
        if summary[name] or name in ("discovered", "submitted", "failed"):
            table.add_row(name.replace("_", " "), str(summary[name]))
    for reason, count in summary["not_taken"].items():
        table.add_row(f"not taken: {NOT_TAKEN.get(reason, reason)}", str(count))
    for reason, count in summary["left_out"].items():
        table.add_row(f"left out ({reason})", str(count))
    for route, count in summary["delivered"].items():
        table.add_row(Text(printable(f"delivered to {route}")), str(count))
    console.print(table)
    for failure in summary["failures"]:
        line = Text.assemble(("✗ ", "red"), printable(failure["video"]), f": {printable(failure['stage'])}: ")
        line.append(f"{failure['code']}: {printable(failure['message'])}")
        console.print(line)
        if failure["hint"]:
            printer.say(f"    {failure['hint']}")
    for warning in summary["warnings"]:
        console.print(Text.assemble(("! ", "yellow"), printable(warning)))
    printer.say(headline(summary))
    if summary["report"]:
        printer.say(f"report: {summary['report']}")
