"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

PipelineName = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="A pipeline file, or the name of one in config/pipelines.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and text for people on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show the log on the terminal.")]
