"""Uploads to Labelbox as people start them: the command line, real detections, a stand-in of the service."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.sinks.labelbox.global_key import global_key
from tests.clips import sample_footage
from tests.emulators.labelbox.server import KEY, LabelboxServer, labelbox_server
from tests.flows.conftest import Yard

pytestmark = pytest.mark.engine

PIPELINE = """
name: yard
sources: [{{uri: "{videos}"}}]
inference: {{backend: local, model: oidv4/1, fps: 5, confidence: 0.35, poll_interval: 1s}}
routes:
  - to: labelbox
    dataset: yard
    ontology: yard
    model: oidv4
    model_run: "{{pipeline}} 1"
    project: annotators
    project_annotations: prelabels
  - {{to: labelbox, name: files, upload: false, uri: "{out}/labelbox"}}
"""


@pytest.fixture
def box() -> Iterator[LabelboxServer]:
    """An empty workspace."""
    with labelbox_server() as server:
        yield server


@pytest.fixture
def pipeline(yard: Yard, box: LabelboxServer) -> str:
    """A folder with real footage, and a pipeline that uploads to the workspace."""
    for name, source in (("a.mp4", "bikes.mp4"), ("sub/b.mp4", "carphone_pristine.mp4")):
        (yard.videos / name).parent.mkdir(exist_ok=True)
        (yard.videos / name).write_bytes(sample_footage(source).read_bytes())
    yard.environment |= box.environment
    path = yard.folder / "yard.yaml"
    path.write_text(PIPELINE.format(videos=yard.videos, out=yard.out))
    return str(path)


def lines_of_files(folder: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for path in folder.rglob("*.ndjson") for line in path.read_text().splitlines()]
    return sorted(lines, key=lambda line: str(line["uuid"]))


def test_real_footage_goes_the_whole_way(yard: Yard, box: LabelboxServer, pipeline: str) -> None:
    """A folder's videos end in a model run and a project with what the file route writes; a second run adds nothing."""
    ended = yard.reelroute("run", pipeline, "--json")

    assert 0 == ended.code, ended.stderr
    assert {"labelbox": 2, "files": 2} == ended.json["delivered"]
    written = lines_of_files(yard.out / "labelbox")
    assert len(written) > 3
    assert written == box.predictions("yard 1")
    (project,) = box.world.projects.values()
    prelabels = [line for row in project["rows"].values() for line in row["prelabels"]]
    assert written == sorted(prelabels, key=lambda line: str(line["uuid"]))
    assert KEY not in ended.stdout + ended.stderr
    calls = len(box.faults.calls)

    again = yard.reelroute("run", pipeline, "--json")

    assert (0, 2) == (again.code, again.json["skipped"])
    assert written == box.predictions("yard 1")
    assert not [call for call in box.faults.calls[calls:] if call.startswith(("create", "upsert", "upload", "delete"))]


def test_a_video_that_labelbox_refuses_is_listed_and_replayed(yard: Yard, box: LabelboxServer, pipeline: str) -> None:
    """One fails with its reason and exit code 1; when it is mended, `replay --failed` brings it too."""
    box.world.unreadable = {global_key(f"file://{yard.videos}/a.mp4")}

    ended = yard.reelroute("run", pipeline, "--json")
    box.world.unreadable = set()
    replayed = yard.reelroute("replay", pipeline, "--failed", "--json")

    assert 1 == ended.code, ended.stderr
    assert {"labelbox": 1, "files": 2} == ended.json["delivered"]
    (failure,) = ended.json["failures"]
    assert ("a.mp4", "route labelbox", "data_row_refused") == tuple(
        failure[name] for name in ("video", "stage", "code")
    )
    assert 0 == replayed.code, replayed.stderr
    assert lines_of_files(yard.out / "labelbox") == box.predictions("yard 1")


def test_a_run_that_is_killed_in_mid_upload_is_completed_by_the_next(
    yard: Yard, box: LabelboxServer, pipeline: str
) -> None:
    """SIGKILL while Labelbox works on the import: the next run leaves one copy of everything."""
    box.world.import_s = 60.0
    with subprocess.Popen(yard.command("run", pipeline, "--json"), cwd=yard.folder, env=yard.env()) as process:
        while not box.world.uploads and process.poll() is None:
            time.sleep(0.05)
        assert box.world.uploads, "the run ended without an upload"
        process.send_signal(signal.SIGKILL)
    box.world.import_s = 0.0
    for begun in box.world.imports.values():
        begun["ready"] = 0.0

    ended = yard.reelroute("run", pipeline, "--json")

    assert 0 == ended.code, ended.stderr
    assert lines_of_files(yard.out / "labelbox") == box.predictions("yard 1")
    for store in (box.world.datasets, box.world.ontologies, box.world.models, box.world.runs):
        assert 1 == len(box.named(store))
