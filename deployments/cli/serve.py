"""``reelroute serve``: our own services, in the foreground."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.options import Json
from deployments.cli.output import Printer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from config.settings import Settings

app = typer.Typer(help="Run one of reelroute's own services in the foreground.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """Hold the services; each is a command."""


@app.command("inference")
def inference(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = 9001,
    api_key: Annotated[
        str,
        typer.Option(
            envvar="ROBOFLOW_API_KEY",
            help="Key that requests must carry. Better in the variable: command lines are in the process list.",
            show_default=False,
        ),
    ] = "",
    allow_folder: Annotated[
        list[Path] | None, typer.Option(help="Folder whose files may be named as input; repeatable.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="An ONNX model to serve; repeatable.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0 for one per core.")] = 0,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Fetch videos from private and loopback addresses too.")
    ] = False,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="Stop when standard input closes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Serve the video inference API: the protocol of Roboflow's hosted one, run by the embedded engine."""
    from config.settings import Settings
    from deployments.services.inference.settings import ServiceSettings

    ours = Settings.load()
    settings = ServiceSettings(
        api_key=api_key,
        state_dir=ours.home / "inference",
        host=host,
        port=port,
        models=named_files(model or []),
        allow_folders=tuple(folder.expanduser().resolve() for folder in allow_folder or ()),
        workers=workers or None,
        allow_private=allow_private,
    )
    from deployments.services.inference.app import create_app

    run_service(
        "video inference service",
        lambda: create_app(settings),
        host,
        port,
        ours,
        Printer(as_json=as_json),
        warning=_of_shown_key(context),
        exit_with_parent=exit_with_parent,
    )


@app.command("metrics")
def metrics(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = 9003,
    as_json: Json = False,
) -> None:
    """Serve what the ledger holds to Prometheus, for those who run no event receiver, which does it too."""
    from config.settings import Settings
    from deployments.services.exposure import refuse_open_address
    from deployments.services.ledger_metrics import create_app

    settings = Settings.load()
    key = settings.metrics_key.get_secret_value() if settings.metrics_key else ""
    refuse_open_address(host, key, service="metrics service", variable="REELROUTE_METRICS_KEY")
    url = settings.ledger_url.get_secret_value()
    run_service("metrics service", lambda: create_app(url, key), host, port, settings, Printer(as_json=as_json))


def run_service(
    name: str,
    make_app: Callable[[], FastAPI],
    host: str,
    port: int,
    settings: Settings,
    printer: Printer,
    *,
    warning: str = "",
    exit_with_parent: bool = False,
) -> None:
    """Log to stderr as the settings say, serve until a signal, and tell the address once it answers."""
    import logging

    from deployments.services.logs import log_to_stderr
    from deployments.services.server import serve

    log_to_stderr(settings.log_level, settings.log_format)
    log = logging.getLogger("reelroute.serve")

    if warning:
        log.warning("%s", warning)

    def ready(url: str) -> None:
        log.info("%s at %s", name, url, extra={"url": url})
        if settings.log_format == "text":  # a log for machines has nothing but records on stderr
            printer.say(f"{name} at {url}, stop it with Ctrl-C")
        printer.result({"url": url})

    serve(make_app, host, port, on_ready=ready, exit_with_parent=exit_with_parent)


@app.command("events")
def events(
    pipelines: Annotated[
        list[str] | None, typer.Argument(metavar="[PIPELINE]...", help="Pipelines that uploads start.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = 9002,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="Stop when standard input closes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take upload events of S3, Cloud Storage and Azure, and start runs for what landed."""
    from config.event_settings import EventSettings
    from config.settings import Settings
    from deployments.cli.prefect_setup import prepare_prefect

    settings = Settings.load()
    wanted = EventSettings.load(tuple(pipelines or ()))
    prepare_prefect(log_level=settings.log_level, log_format=settings.log_format, verbose=False)
    from deployments.services.events.app import create_app
    from deployments.services.events.service import build_service, check_exposure
    from deployments.services.exposure import is_loopback

    others = not is_loopback(host)
    check_exposure(wanted, host, settings.metrics_key.get_secret_value() if settings.metrics_key else "")
    run_service(
        "upload-event service",
        lambda: create_app(build_service(settings, wanted, watched_by_others=others)),
        host,
        port,
        settings,
        Printer(as_json=as_json),
        exit_with_parent=exit_with_parent,
    )


def _of_shown_key(context: typer.Context) -> str:
    """A warning if the key was given where others on this machine read it, else ""."""
    source = context.get_parameter_source("api_key")
    if source is None or source.name != "COMMANDLINE":
        return ""
    return "everybody on this machine can read --api-key in the process list: set ROBOFLOW_API_KEY instead"


def named_files(pairs: list[str]) -> dict[str, Path]:
    """Read ``NAME=FILE`` pairs.

    Raises:
        InputInvalid: A pair is no pair, a name stands twice, or a file is missing.
    """
    from tasks.domain.errors import InputInvalid

    files: dict[str, Path] = {}
    for pair in pairs:
        name, equals, file = pair.partition("=")
        path = Path(file).expanduser().resolve()
        if not equals or not name or name in files:
            raise InputInvalid(f"--model {pair} is not NAME=FILE with a name of its own")
        if not path.is_file():
            raise InputInvalid(f"--model {pair}: there is no file {file}")
        files[name] = path
    return files
