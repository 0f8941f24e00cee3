"""Uploads to a model run, by the real SDK, on a stand-in of Labelbox: one copy of each annotation."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tasks.sinks.labelbox import chunks, upload
from tasks.sinks.labelbox.global_key import global_key
from tests.contracts.deliveries import Box, Frames
from tests.contracts.sinks import ODD_NAMES
from tests.emulators.labelbox.server import LabelboxServer
from tests.unit.tasks.sinks.labelbox.strict_reader import check_lines
from tests.unit.tasks.sinks.labelbox.workplace import NAMES, Workplace, renamed

SEEN_BEFORE: Frames = [[Box(300 + i, 180, 40, 80, track=1), Box(9, 9, 4, 4, "ball", track=2)] for i in range(13)]


def by_video(lines: list[dict[str, Any]]) -> Counter[str]:
    return Counter(line["dataRow"]["globalKey"] for line in lines)


def test_what_arrives_is_what_the_file_route_writes(workplace: Workplace, server: LabelboxServer) -> None:
    """Every annotation of every video is in the model run, as valid as in a file, and nothing else is."""
    deliveries = [workplace.delivery(name) for name in ("a.mp4", "sub/b.mp4")]

    done = workplace.deliver(deliveries)

    assert {} == done.refused
    lines = server.predictions("night 1")
    assert {global_key(delivery.video.uri): 3 for delivery in deliveries} == by_video(lines)
    for delivery in deliveries:
        own = [line for line in lines if line["dataRow"]["globalKey"] == global_key(delivery.video.uri)]
        check_lines("".join(json.dumps(line) + "\n" for line in own).encode(), delivery)


def test_everything_is_made_once_by_name(workplace: Workplace, server: LabelboxServer) -> None:
    """An empty workspace has one of each thing afterwards, and a second night makes a run only."""
    workplace.deliver([workplace.delivery()])
    workplace.deliver([workplace.delivery("b.mp4")], names=renamed(NAMES, model_run="night 2"))

    world = server.world
    assert ["matches"] == server.named(world.datasets)
    assert ["football"] == server.named(world.ontologies)
    assert ["players"] == server.named(world.models)
    assert ["night 1", "night 2"] == server.named(world.runs)
    assert 2 == len(world.rows)


def test_several_videos_share_an_import(workplace: Workplace, server: LabelboxServer) -> None:
    """A batch of small videos is one import."""
    workplace.deliver([workplace.delivery(f"{i}.mp4") for i in range(8)])

    assert 1 == len(server.world.uploads)
    assert 24 == len(server.predictions("night 1"))


def test_imports_are_not_larger_than_they_may_be(
    workplace: Workplace, server: LabelboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines are cut into imports by bytes and by keyframes; a line that is too large alone goes alone."""
    cut = chunks.chunked
    monkeypatch.setattr(upload, "chunked", lambda videos: cut(videos, max_bytes=700, max_keyframes=3))

    workplace.deliver([workplace.delivery(f"{i}.mp4") for i in range(3)])

    sizes = [(len(body), body.count(b'"frame":'), body.count(b"\n") + 1) for body in server.world.uploads]
    assert len(sizes) > 3
    assert all(lines == 1 or (size <= 700 and keyframes <= 3) for size, keyframes, lines in sizes)
    assert 9 == len(server.predictions("night 1"))


def test_a_second_delivery_leaves_one_copy(workplace: Workplace, server: LabelboxServer) -> None:
    """Delivered again by another process, in other company, every annotation is there once."""
    workplace.deliver([workplace.delivery("a.mp4"), workplace.delivery("b.mp4")])
    first = server.predictions("night 1")

    workplace.deliver([workplace.delivery("b.mp4"), workplace.delivery("c.mp4"), workplace.delivery("a.mp4")])

    again = server.predictions("night 1")
    assert first == [line for line in again if not line["dataRow"]["globalKey"].endswith("c.mp4")]
    assert 3 == len(again) - len(first)


def test_a_second_delivery_by_the_same_process_leaves_one_copy(workplace: Workplace, server: LabelboxServer) -> None:
    """A long run that delivers a video twice replaces what it put there itself."""
    sink = workplace.sink()
    for _ in range(3):
        workplace.deliver([workplace.delivery("a.mp4")], sink)

    assert 3 == len(server.predictions("night 1"))


def test_a_newer_delivery_replaces_an_older_one(workplace: Workplace, server: LabelboxServer) -> None:
    """Nothing of an earlier inference of the video stays behind, also where the newer found nothing."""
    workplace.deliver([workplace.delivery("a.mp4", SEEN_BEFORE, every=5), workplace.delivery("b.mp4")])
    workplace.deliver([workplace.delivery("a.mp4")])
    replaced = server.predictions("night 1")
    workplace.deliver([workplace.delivery("a.mp4", [[], []])])

    assert 6 == len(replaced)
    assert 3 == max(len(line["segments"][0]["keyframes"]) for line in replaced)  # of 13 before
    assert {global_key("s3://matches/2026/b.mp4"): 3} == by_video(server.predictions("night 1"))


def test_returning_to_earlier_settings_returns_to_their_annotations(
    workplace: Workplace, server: LabelboxServer
) -> None:
    """An import of the same content from before is no reason to leave what came later."""
    workplace.deliver([workplace.delivery("a.mp4")])
    first = server.predictions("night 1")
    workplace.deliver([workplace.delivery("a.mp4", SEEN_BEFORE, every=5)])
    workplace.deliver([workplace.delivery("a.mp4")])

    assert first == server.predictions("night 1")


def test_a_video_without_predictions_is_delivered_with_nothing_to_upload(
    workplace: Workplace, server: LabelboxServer
) -> None:
    """It is in the model run, with no annotation, and costs no import."""
    done = workplace.deliver([workplace.delivery("a.mp4", [[], []])])

    assert {} == done.refused
    assert [] == server.world.uploads
    (run,) = server.world.runs.values()
    assert 1 == len(run["rows"])


def test_odd_names_come_through(workplace: Workplace, server: LabelboxServer) -> None:
    """Each video of an odd name has a data row of its own."""
    done = workplace.deliver([workplace.delivery(name) for name in ODD_NAMES])

    assert {} == done.refused
    assert len(ODD_NAMES) == len(server.world.rows)
    assert 3 * len(ODD_NAMES) == len(server.predictions("night 1"))


def test_an_annotation_that_is_refused_fails_its_video_alone(workplace: Workplace, server: LabelboxServer) -> None:
    """Partial failure is told per video, with Labelbox' own words; the rest is delivered."""
    deliveries = [workplace.delivery("a.mp4"), workplace.delivery("b.mp4")]
    server.world.media[global_key(deliveries[1].video.uri)].frames = 1  # shorter than we believe

    done = workplace.deliver(deliveries)

    assert ["b.mp4"] == list(done.refused)
    error = done.refused["b.mp4"]
    assert "annotations_refused" == error.code
    assert "2 of 3 annotations" in error.message
    assert "frame 7 is not between" in error.message
    assert 3 == by_video(server.predictions("night 1"))[global_key(deliveries[0].video.uri)]


def test_a_status_may_quote_any_character(workplace: Workplace, server: LabelboxServer) -> None:
    """Words that hold a line separator are one status, and those behind it are read as well."""
    odd = "ball\u2028of\x85leather"
    sink, frames = workplace.sink(), [[Box(100, 50, 10, 10, odd, track=1), Box(320, 180, 40, 80, track=2)]]
    workplace.deliver([workplace.delivery("a.mp4", frames)], sink)
    (ontology,) = server.world.ontologies.values()
    ontology["features"] = [uid for uid in ontology["features"] if server.world.schemas[uid]["name"] != odd]

    done = workplace.deliver([workplace.delivery("b.mp4", frames)], sink)

    assert "refuses 1 of 2 annotations" in done.refused["b.mp4"].message
    assert "Ontology does not contain name: ball" in done.refused["b.mp4"].message


def test_an_import_that_fails_as_a_whole_is_told_with_its_reason(workplace: Workplace, server: LabelboxServer) -> None:
    """The error file, which the SDK does not read, says why; each other video is imported alone."""
    server.world.fails_import = lambda lines: (
        "storage exploded" if any("b.mp4" in line["dataRow"]["globalKey"] for line in lines) else ""
    )

    done = workplace.deliver([workplace.delivery(name) for name in ("a.mp4", "b.mp4", "c.mp4")])

    assert ["b.mp4"] == list(done.refused)
    assert "storage exploded" in done.refused["b.mp4"].message
    assert 6 == len(server.predictions("night 1"))


def test_an_import_that_failed_is_tried_under_another_name(workplace: Workplace, server: LabelboxServer) -> None:
    """A failed import does not stand for its content for ever."""
    server.world.fails_import = lambda lines: "storage exploded"
    workplace.deliver([workplace.delivery()])
    server.world.fails_import = lambda lines: ""

    done = workplace.deliver([workplace.delivery()])

    assert {} == done.refused
    assert 3 == len(server.predictions("night 1"))


def test_a_result_file_that_is_not_to_be_had_at_first_is_fetched_again(
    workplace: Workplace, server: LabelboxServer
) -> None:
    """Downloads are tried again, each time with an address asked for anew."""
    server.faults.plan("GET ndjson", "500", 2)

    assert {} == workplace.deliver([workplace.delivery()]).refused


def test_no_address_of_a_result_file_is_in_a_log(
    workplace: Workplace, server: LabelboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has such an address has the annotations: also at the most talkative level it loses its signature."""
    with caplog.at_level(logging.DEBUG):
        workplace.deliver([workplace.delivery()])

    logged = [record.getMessage() + repr(record.args) for record in caplog.records]
    assert any("/files/" in line for line in logged)
    assert [] == [line for line in logged if "file-secret" in line or "very-secret" in line]


def test_files_are_staged_for_as_long_as_the_batch_takes(workplace: Workplace, tmp_path: Path) -> None:
    """Nothing is left on disk after a delivery: no annotations, no name of an open import."""
    workplace.deliver([workplace.delivery()])

    assert [] == [path.name for path in tmp_path.rglob("*") if path.suffix in (".ndjson", ".part")]
    assert [] == list((tmp_path / "journal").iterdir())


def test_signed_urls_are_given_and_their_end_is_told(workplace: Workplace, server: LabelboxServer) -> None:
    """A data row has the URL that was signed for it; a warning says when Labelbox cannot use it any more."""
    done = workplace.deliver([workplace.delivery("a.mp4")])

    (row,) = server.world.rows.values()
    assert "https://bucket.example.com/a.mp4?signature=very-secret" == row["rowData"]
    (warning,) = done.end.warnings
    assert "2026-05-08 00:00 UTC" in warning
    assert "secret" not in warning


@pytest.mark.parametrize(
    ("uri", "row_data"),
    [
        ("s3://matches/a.mp4", "https://bucket.example.com/a.mp4"),
        ("gs://matches/a.mp4", "gs://matches/a.mp4"),
        ("az://matches/a.mp4", "https://bucket.example.com/a.mp4"),
    ],
)
def test_an_iam_integration_reads_the_object_itself(
    workplace: Workplace, server: LabelboxServer, uri: str, row_data: str
) -> None:
    """With an integration the data row has the object's own address, no signature, and no warning is due."""
    fields = {"createdAt": None, "updatedAt": None, "lastValidAt": None, "provider": "AWS", "settings": None}
    own = {"id": "iam-1", "name": "archive", "valid": True, "isOrgDefault": False, **fields}
    server.world.integrations = [own]

    done = workplace.deliver([workplace.delivery("a.mp4", uri=uri)], names=renamed(NAMES, integration="archive"))

    (row,) = server.world.rows.values()
    assert row_data == row["rowData"]
    assert () == done.end.warnings
    (dataset,) = server.world.datasets.values()
    assert {"id": "iam-1"} == dataset["signer"]


def test_a_local_video_is_uploaded(workplace: Workplace, server: LabelboxServer, tmp_path: Path) -> None:
    """A folder's video becomes a file of Labelbox' own."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\x00\x01video\r\n\xff")

    done = workplace.deliver([workplace.delivery("a.mp4", uri=f"file://{path}")])

    assert {} == done.refused
    (row,) = server.world.rows.values()
    assert path.read_bytes() == server.world.file_of(row["rowData"])
