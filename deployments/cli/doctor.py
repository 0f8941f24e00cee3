"""``reelroute doctor``: what is missing before a pipeline can run; writes nothing, pays nothing."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from deployments.cli.options import Json, PipelineName
from deployments.cli.output import Printer
from tasks.domain.wording import count_of

if TYPE_CHECKING:
    from tasks.doctor import Findings

MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


def doctor(pipeline: PipelineName, as_json: Json = False) -> None:
    """Try listing, reading, signing, writing and the model; say what is missing. Changes nothing."""
    from config.load import load_pipeline
    from config.settings import Settings
    from tasks.doctor import examine

    printer = Printer(as_json=as_json)
    loaded, settings = load_pipeline(pipeline), Settings.load()
    if any(section.credentials for section in (*loaded.sources, *loaded.routes)):
        from deployments.cli.prefect_setup import prepare_prefect

        prepare_prefect(log_level=settings.log_level, log_format=settings.log_format, verbose=False, own_server=True)
    with printer.console.status("looking"):
        found = asyncio.run(examine(loaded, settings))
    show(found, printer)
    checks = [asdict(finding) for finding in found]
    printer.result({"pipeline": loaded.name, "checks": checks, "exit_code": found.exit_code})
    raise typer.Exit(found.exit_code)


def show(found: Findings, printer: Printer) -> None:
    """Print what was found for people, what fails with its hint."""
    from rich.text import Text

    from tasks.domain.video import printable

    for finding in found:
        mark, colour = MARKS[finding.status]
        line = Text.assemble((f"{mark} ", colour), printable(f"{finding.subject}: {finding.check}: {finding.message}"))
        line.append(f" ({finding.code})" if finding.code else "", style="dim")
        printer.console.print(line)
        if finding.hint:
            printer.say(f"    {finding.hint}")
    failed = sum(finding.status == "fail" for finding in found)
    checks = count_of(len(found), "check")
    printer.say(f"{failed} of {checks} failed." if failed else f"{checks} passed, none failed.")
