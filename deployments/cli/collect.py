"""``reelroute collect``: fetch what is in flight, of one pipeline or of all; never submits."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from deployments.cli.options import Json, Verbose
from deployments.cli.output import Printer


def collect(
    pipeline: Annotated[
        str, typer.Argument(metavar="[PIPELINE]", help="A pipeline file or its name; all pipelines without it.")
    ] = "",
    once: Annotated[
        bool, typer.Option("--once", help="Ask about each job a single time, and leave those that are not done.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Wait for what is in flight, store it, route it; submit nothing."""
    from config.settings import Settings
    from deployments.cli.run import run_flow, show
    from tasks.kept import named_pipeline

    printer = Printer(as_json=as_json)
    if pipeline:
        named_pipeline(pipeline, Settings.load())

    def start() -> Coroutine[Any, Any, dict[str, Any]]:
        from flows.collect import collect as flow

        return flow(pipeline=pipeline, once=once)

    summary = run_flow(start, printer, verbose=verbose, stage="polling")
    for part in summary.get("pipelines", [summary]):
        if "error" in part:
            printer.say(f"✗ {part['pipeline']}: {part['error']['code']}: {part['error']['message']}")
            continue
        printer.say(part["pipeline"])
        show(part, printer)
    if "pipelines" in summary:
        for warning in summary["warnings"]:
            printer.say(f"! {warning}")
        if not summary["pipelines"] and not summary["warnings"]:
            printer.say("nothing is in flight")
    printer.result(summary)
    raise typer.Exit(summary["exit_code"])
