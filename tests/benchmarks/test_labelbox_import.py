"""What an import costs: time beside the service's own, against the SDK's wait, and memory against the chunk."""

from __future__ import annotations

import multiprocessing
import random
import time
import tracemalloc
import uuid
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.sinks.labelbox import chunks, upload
from tasks.sinks.labelbox.imports import ImportKind, Imports
from tasks.sinks.labelbox.workspace import Workspace
from tests.contracts.deliveries import Box, Frames
from tests.emulators.labelbox.server import KEY, labelbox_server
from tests.unit.tasks.sinks.labelbox.test_document_kinds import FEATURES
from tests.unit.tasks.sinks.labelbox.workplace import NAMES, Workplace

pytestmark = pytest.mark.bench

AT_SERVICE_S = 1.0
CHUNK, TRACKS, SAMPLES = 5_000, 50, 50  # keyframes of an import; objects and keyframes of each in a video


def test_an_import_of_one_second_costs_about_one(tmp_path: Path) -> None:
    """Followed to its statuses, at most half as long again; the SDK's own wait takes ten times as long."""
    from labelbox import MEAPredictionImport

    from tasks.sinks.labelbox.api import Labelbox

    with labelbox_server() as server:
        box = Labelbox(KEY, endpoint=server.endpoint, rest_endpoint=server.rest_endpoint)
        place = Workspace(box, NAMES).open(FEATURES)
        box.create_rows(place.dataset, [{"row_data": "https://example.com/a.mp4", "global_key": "a.mp4"}])
        box.put_into_run(place.run, ["a.mp4"])
        server.world.import_s = AT_SERVICE_S
        line = {"uuid": str(uuid.uuid4()), "name": "free_text", "dataRow": {"globalKey": "a.mp4"}, "answer": "text"}

        imports, ours = Imports(box), []
        for name in ("first", "second", "third"):
            begun = time.monotonic()
            ended = imports.ended(imports.start(ImportKind.PREDICTIONS, place.run, name, [line]))
            statuses = imports.statuses(ended)
            ours.append(time.monotonic() - begun)
        begun = time.monotonic()
        theirs_import = MEAPredictionImport.create_from_objects(box.client, place.run, "theirs", [line])
        assert theirs_import.statuses
        theirs = time.monotonic() - begun

    assert [""] == [status.problem for status in statuses]
    print(f"\nan import of {AT_SERVICE_S:.0f} s: {min(ours):.2f} s, by the SDK's own wait {theirs:.2f} s")
    assert min(ours) <= 1.5 * AT_SERVICE_S
    assert theirs >= 5 * min(ours)


def jitter() -> Frames:
    """A video in which every detection is a keyframe."""
    chance = random.Random(0)
    return [
        [Box(100 + chance.random() * 99, 100 + chance.random() * 99, 20, 20, track=track) for track in range(TRACKS)]
        for _ in range(SAMPLES)
    ]


def peak_of_an_upload(endpoint: str, rest_endpoint: str, folder: Path, videos: int) -> int:
    """Bytes that bringing staged videos into a model run takes at most; in a process without the service."""
    upload.chunked = partial(chunks.chunked, max_keyframes=CHUNK)  # type: ignore[attr-defined]
    server = SimpleNamespace(endpoint=endpoint, rest_endpoint=rest_endpoint, world=SimpleNamespace(media={}))
    workplace = Workplace(server, folder)  # type: ignore[arg-type]
    sink = workplace.sink()
    workplace.deliver([workplace.delivery("first.mp4")], sink)  # loads what is loaded once
    deliveries = [workplace.delivery(f"{number}.mp4", jitter(), every=1) for number in range(videos)]
    for delivery in deliveries:
        sink.deliver(delivery)
    tracemalloc.start()
    ended = sink.finish(deliveries)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ended is not None
    assert {} == ended.refused
    return peak


def test_an_upload_takes_the_memory_of_a_chunk(tmp_path: Path) -> None:
    """Eight times the imports in a batch take as much memory, not eight times as much."""
    peaks = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as elsewhere:
        for videos in (2, 16):
            folder = tmp_path / str(videos)
            folder.mkdir()
            with labelbox_server() as server:
                places = (server.endpoint, server.rest_endpoint, folder)
                peaks.append(elsewhere.apply(peak_of_an_upload, (*places, videos)))
                assert videos * TRACKS * SAMPLES // CHUNK + 1 == len(server.world.uploads)
    few, many = peaks
    print(f"\npeak of an upload: {few / 1e6:.1f} MB for one import of {CHUNK} keyframes, {many / 1e6:.1f} MB for eight")
    assert many <= 1.5 * few
