"""``reelroute plan``: what a run would do, and what it would cost; changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.options import Json, PipelineName
from deployments.cli.output import Printer

if TYPE_CHECKING:
    from config.pipeline import Pipeline
    from config.settings import Settings
    from tasks.credentials import Blocks
    from tasks.ledger.base import Ledger
    from tasks.preview import Preview


def plan(
    pipeline: PipelineName,
    limit: Annotated[int, typer.Option(min=0, help="As for `run`.")] = 0,
    as_json: Json = False,
) -> None:
    """List, compare with the ledger, estimate frames, minutes and cost; change nothing."""
    from config.load import load_pipeline
    from config.settings import Settings
    from tasks.preview import preview
    from tasks.spec import inference_spec
    from tasks.stores import Stores

    printer = Printer(as_json=as_json)
    loaded, settings = load_pipeline(pipeline), Settings.load()
    spec, _ = inference_spec(loaded)
    blocks = read_blocks(loaded, settings)
    with printer.console.status("looking at videos") as status, existing_ledger(settings) as ledger:
        found = preview(
            loaded,
            spec,
            Stores(loaded, blocks=blocks),
            ledger,
            datetime.now(UTC),
            settings,
            limit=limit,
            looked=lambda name: status.update(f"looking at {name}".replace("[", "\\[")),
        )
    show(found, printer)
    printer.result(found.as_json(loaded.name))
    raise typer.Exit(1 if found.failures else 0)


def read_blocks(pipeline: Pipeline, settings: Settings) -> Blocks:
    """Load the credential blocks that the pipeline names; Prefect is not asked where it names none."""
    from deployments.cli.prefect_setup import prepare_prefect
    from tasks.credentials import load_credentials, named_blocks

    if not any(named_blocks(pipeline)):
        return {}
    prepare_prefect(log_level=settings.log_level, log_format=settings.log_format, verbose=False, own_server=True)
    return asyncio.run(load_credentials(pipeline))


@contextmanager
def existing_ledger(settings: Settings) -> Iterator[Ledger | None]:
    """The ledger if there is one; none is made."""
    from tasks.domain.errors import LedgerMissing
    from tasks.ledger.open import open_ledger

    try:
        ledger = open_ledger(settings.ledger_url.get_secret_value(), create=False)
    except LedgerMissing:
        yield None
        return
    try:
        yield ledger
    finally:
        ledger.close()


def show(found: Preview, printer: Printer) -> None:
    """Print a preview for people."""
    from rich.table import Table

    from tasks.domain.video import printable
    from tasks.storage.filters import NOT_TAKEN

    estimate = found.estimate
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("discovered", str(found.discovered))
    for reason, count in sorted(found.not_taken.items()):
        table.add_row(f"not taken: {NOT_TAKEN[reason]}", str(count))
    for state, count in sorted(found.known.items()):
        table.add_row(f"already {state}", str(count))
    if found.reused:
        table.add_row("take over stored results", str(found.reused))
    for reason, count in found.left_out.items():
        table.add_row(f"left out ({reason})", str(count))
    table.add_row("cannot be inferred", str(len(found.failures)))
    table.add_row("to submit", str(estimate.videos))
    table.add_row("frames to infer", f"{estimate.frames:,}")
    table.add_row("video minutes", f"{estimate.minutes:.1f}")
    table.add_row("cost", "unknown" if estimate.cost is None else f"{estimate.cost:.2f}")
    printer.console.print(table)
    if estimate.cost is None:
        printer.say("the cost is known with budget.cost_per_1000_frames")
    for minutes, name in found.longest:
        printer.say(f"  {minutes:8.1f} min  {printable(name)}")
    for failure in found.failures:
        printer.say(f"✗ {printable(failure['message'])} ({failure['code']})")
        if failure["hint"]:
            printer.say(f"    {failure['hint']}")
    for warning in found.warnings:
        printer.say(f"! {warning}")
