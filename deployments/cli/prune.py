"""``reelroute prune``: forget what is long over, and say what was kept."""

from __future__ import annotations

from typing import Annotated

import typer

from deployments.cli.options import Json
from deployments.cli.output import Printer

# How each count is told.
NAMES = {
    "history": "lines of the history of jobs that were delivered",
    "shards": "lists of shared runs",
    "uploads": "finished entries of the inbox",
    "results": "stored results of replaced versions",
    "reports": "report files",
    "logs": "log files",
    "work": "leftover work folders",
}


def prune(
    pipeline: Annotated[
        str, typer.Argument(metavar="[PIPELINE]", help="A pipeline file or its name; everything without it.")
    ] = "",
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="What has been over for so long, such as 90d; at least a day.")
    ] = "90d",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be removed, and remove nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove history, reports, results of replaced versions and leftovers; no job is forgotten."""
    from config.settings import Settings
    from tasks.prune import KEPT, prune_now

    printer = Printer(as_json=as_json)
    with printer.console.status("pruning"):
        pruned = prune_now(Settings.load(), pipeline=pipeline, older_than=older_than, dry_run=dry_run)
    found = pruned.as_json()
    printer.say("would be removed:" if dry_run else "removed:")
    for name, text in NAMES.items():
        printer.say(f"{found[name]:>8}  {text}")
    if pruned.compacted:
        printer.say("the ledger's file was written anew, without the free space in it")
    for warning in pruned.warnings:
        printer.say(f"! {warning}")
    printer.say(KEPT)
    printer.result(found | {"pipeline": pipeline or None, "older_than": older_than, "dry_run": dry_run, "exit_code": 0})
