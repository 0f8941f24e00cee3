"""``reelroute deploy``: make a Prefect server have the deployments, a work pool and the automations."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli.options import Json
from deployments.cli.output import Printer

if TYPE_CHECKING:
    from deployments.register import Registered


def deploy(
    pool: Annotated[str, typer.Option(help="Work pool that runs happen in; made if there is none.")] = "reelroute",
    kind: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="Of a pool that is made: process, docker or kubernetes.")
    ] = "",
    nightly: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PIPELINE=CRON",
            help="Run a pipeline by schedule, as its key `schedule` would: 'yard=0 2 * * * Europe/Zurich'.",
        ),
    ] = None,
    image: Annotated[str, typer.Option(help="Image of docker and kubernetes runs.")] = "",
    notify: Annotated[
        str, typer.Option(metavar="TYPE/NAME", help="Tell of failed, degraded and late runs by this Prefect block.")
    ] = "",
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove nightly deployments that nothing asks for any more.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Register every deployment with the Prefect server; safe to repeat, and changes only what differs."""
    from tasks.domain.errors import InputInvalid

    printer = Printer(as_json=as_json)
    if kind not in ("", "process", "docker", "kubernetes"):
        raise InputInvalid(f"--type {kind}: is no type of work pool", hint="process, docker or kubernetes")
    from config.settings import Settings
    from deployments.cli.prefect_setup import prepare_prefect
    from deployments.declared import declared, read_nightly, scheduled_pipelines, with_nightlies, with_switches

    settings = Settings.load()
    schedules = scheduled_pipelines(dict(read_nightly(text) for text in nightly or ()))
    wanted = list(with_switches(with_nightlies(declared(), schedules), prune_weekly=settings.prune_weekly))
    prepare_prefect(log_level=settings.log_level, verbose=False, log_format=settings.log_format)
    server = server_url()
    from deployments.register import Target, register
    from deployments.server_errors import in_our_words

    target = Target(pool=pool, kind=kind, image=image)

    async def talk() -> Registered:
        from prefect.client.orchestration import get_client

        with in_our_words(f"at {server}"):
            async with get_client() as client:
                return await register(client, wanted, target, notify=notify, prune=prune)

    done = asyncio.run(talk())
    show(done, printer, scheduled=bool(schedules))
    printer.result({**done.as_json(), "exit_code": 0})


def server_url() -> str:
    """The API of the Prefect server that is configured.

    Raises:
        InputInvalid: There is none; one that Prefect started for this command would forget everything.
    """
    from prefect.settings import PREFECT_API_URL

    from tasks.domain.errors import InputInvalid

    url: str | None = PREFECT_API_URL.value()
    if not url:
        raise InputInvalid(
            "there is no Prefect server to register with: PREFECT_API_URL is not set",
            hint="`prefect server start` starts one; then PREFECT_API_URL=http://127.0.0.1:4200/api",
        )
    return url


def show(done: Registered, printer: Printer, *, scheduled: bool) -> None:
    """Print what changed, and what to do next."""
    entries: list[dict[str, Any]] = [
        *({"name": f"work pool {name}", "change": change} for name, change in done.pool.items()),
        *done.deployments,
        *({"name": f"automation {name}", "change": change} for name, change in done.automations.items()),
    ]
    for entry in entries:
        when = f"  ({entry['schedule']})" if entry.get("schedule") else ""
        printer.say(f"{entry['change']:<10} {entry['name']}{when}")
    if any(entry["change"] == "left" for entry in entries):
        printer.say("left: no pipeline file and no --nightly asks for it any more; --prune removes it")
    if not scheduled:
        printer.say("no pipeline has a schedule: give one the key `schedule`, or say --nightly 'NAME=0 2 * * *'")
    printer.say(f"runs need a worker: prefect worker start --pool {next(iter(done.pool))}")
