"""The command line's root: its commands, and how errors become messages and exit codes."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Annotated

import typer
from click.exceptions import Abort, ClickException

from deployments.cli import collect, demo, deploy, doctor, lightly, plan, prune, replay, run, serve, status
from deployments.cli.output import Printer

app = typer.Typer(
    name="reelroute",
    help="Run a vision model over every video in your buckets, and have the predictions in your labelling tools.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("reelroute"))
        raise typer.Exit


@app.callback()
def root(
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Hold the options that stand before any command."""


app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("plan")(plan.plan)
app.command("run")(run.run)
app.command("collect")(collect.collect)
app.command("status")(status.status)
app.command("replay")(replay.replay)
app.command("prune")(prune.prune)
app.command("deploy")(deploy.deploy)
app.add_typer(lightly.app, name="lightly")
app.add_typer(serve.app, name="serve")


def _show_redacted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an error that nobody foresaw, without what may be secret in it."""
    import traceback

    from tasks.domain.redaction import redact

    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
    what = f"{kind.__name__}: the traceback is on stderr"
    Printer(as_json="--json" in sys.argv).failure("unexpected", what, exit_code=1)


def main() -> None:
    """Run the command line; errors that we can name become a message and an exit code."""
    from tasks.domain.errors import ReelrouteError

    sys.excepthook = _show_redacted
    printer = Printer(as_json="--json" in sys.argv)
    try:
        sys.exit(app(standalone_mode=False))
    except ReelrouteError as error:
        printer.error(error)
        sys.exit(error.exit_code)
    except ClickException as error:  # the arguments are wrong
        from typer.rich_utils import rich_format_error

        rich_format_error(error)
        printer.failure("input_invalid", error.format_message(), exit_code=error.exit_code)
        sys.exit(error.exit_code)
    except Abort:  # at a question, Ctrl-C or the end of what there was to read
        printer.say("nothing was done")
        printer.failure("interrupted", "nothing was done", exit_code=130)
        sys.exit(130)
    except KeyboardInterrupt:
        printer.say("stopped; run the same command again to go on")
        sys.exit(130)
