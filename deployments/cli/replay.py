"""``reelroute replay``: take failures up again; asks before anything may be paid again."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli.options import Json, PipelineName, Verbose
from deployments.cli.output import Printer
from tasks.domain.wording import count_of

if TYPE_CHECKING:
    from config.pipeline import Pipeline
    from tasks.replay import Selection, Wanted


def replay(
    pipeline: PipelineName,
    failed: Annotated[
        bool, typer.Option("--failed", help="Failed and expired jobs too: asked for once more, else paid again.")
    ] = False,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Submit jobs of which nobody knows whether the service took them.")
    ] = False,
    route: Annotated[str, typer.Option(metavar="NAME", help="Stored results to this route again; pays nothing.")] = "",
    video: Annotated[str, typer.Option(metavar="URI", help="Only this video: its URI, or its name.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to what may be paid again.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Take up what failed. Without a switch: deliveries that went wrong and unreadable videos, which costs nothing."""
    from config.settings import Settings
    from deployments.cli.run import run_flow, show
    from tasks.domain.errors import InputInvalid
    from tasks.kept import named_pipeline
    from tasks.replay import Wanted

    printer = Printer(as_json=as_json)
    loaded = named_pipeline(pipeline, Settings.load())
    if route and (failed or unknown):
        raise InputInvalid("--route takes stored results and submits nothing: leave out --failed and --unknown")
    names = [known.name for known in loaded.routes]
    if route and route not in names:
        raise InputInvalid(f"pipeline {loaded.name} has no route {route}", hint=f"its routes: {', '.join(names)}")
    wanted = Wanted(failed, unknown, route, video)
    chosen = choose(loaded, wanted)
    nothing = {"pipeline": loaded.name, "command": "replay", "discovered": 0, "failures": [], "exit_code": 0}
    if chosen is None or not chosen.keys:
        say_left_alone(chosen, printer)
        printer.say("nothing to replay")
        printer.result(nothing)
        return
    if chosen.may_pay and not yes and not confirm(chosen, wanted, printer):
        printer.say("nothing was done")
        printer.result(nothing)
        return

    def start() -> Coroutine[Any, Any, dict[str, Any]]:
        from flows.replay import replay as flow

        return flow(pipeline=pipeline, failed=failed, unknown=unknown, route=route, video=video, pay=True)

    summary = run_flow(start, printer, verbose=verbose, stage="taking up what failed")
    say_left_alone(chosen, printer)
    show(summary, printer)
    printer.result(summary)
    raise typer.Exit(summary["exit_code"])


def choose(pipeline: Pipeline, wanted: Wanted) -> Selection | None:
    """What there is to take up by the ledger; None without a ledger."""
    from config.settings import Settings
    from deployments.cli.plan import existing_ledger
    from tasks.replay import select
    from tasks.spec import inference_spec

    with existing_ledger(Settings.load()) as ledger:
        return select(ledger, pipeline, inference_spec(pipeline)[0], wanted) if ledger else None


def confirm(chosen: Selection, wanted: Wanted, printer: Printer) -> bool:
    """Ask a person whether to go on with what may be paid again.

    Raises:
        InputInvalid: There is no terminal to ask at.
    """
    from tasks.domain.errors import InputInvalid

    question = bill_of(chosen)
    if wanted.unknown:
        printer.say(
            "Nobody knows whether the service took the unknown jobs: their answers were lost. If it did, "
            "they are billed twice. The service's own list of jobs may tell."
        )
    if not sys.stdin.isatty():
        raise InputInvalid(f"{question}, and there is no terminal to ask at", hint="agree with --yes")
    return typer.confirm(f"{question}. Go on?", err=True)


def bill_of(chosen: Selection) -> str:
    """How many jobs may be paid, and what that would cost, in words."""
    bill = chosen.bill
    cost = "of unknown cost (set budget.cost_per_1000_frames)" if bill.cost is None else f"about {bill.cost:.2f}"
    jobs = count_of(chosen.may_pay, "job is", "jobs are")
    text = f"{'up to ' if chosen.ask else ''}{jobs} submitted and paid again: "
    text += f"{count_of(bill.frames, 'frame')}, {bill.minutes:.1f} minutes, {cost}"
    if chosen.ask:
        text += f"; {len(chosen.ask)} of them only if the service has no results of them after all"
    if chosen.unmeasured:
        text += f"; {count_of(chosen.unmeasured, 'video')} never measured on top of that"
    return text


def say_left_alone(chosen: Selection | None, printer: Printer) -> None:
    """Say which failures are not taken up, and why."""
    for reason, count in (chosen.left_alone if chosen else {}).items():
        printer.say(f"left alone ({reason}): {count}")
