"""Whole runs over buckets: sources and routes in each cloud, URLs that the service really fetches."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.clips import sample_footage, write_clip
from tests.flows.clouds import CLOUDS, SIGNATURES, Cloud, enter, write_pipeline
from tests.flows.conftest import Finished, Yard

pytestmark = pytest.mark.engine

# Everything that URLs and shells trip over, in one name.
STRANGE = "été/1+1 = 100%25 #?&'🎥.mp4"


@pytest.fixture
def cloud_yard(tmp_path: Path, prefect_server: str) -> Yard:
    """A folder for a pipeline and its state; runs start a service of their own."""
    return Yard(tmp_path, {"PREFECT_API_URL": prefect_server})


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    """A second of video at 25 frames/s."""
    return write_clip(tmp_path / "clip.mp4", frames=25).read_bytes()


def keys(cloud: Cloud, uri: str) -> set[str]:
    return {found.key for found in cloud.store(uri).list()}


def no_secret_in(yard: Yard, ended: Finished) -> None:
    """No signed URL is in what a run prints and keeps. (Our service keeps a job's URL until it has run.)"""
    texts = [ended.stdout, ended.stderr]
    kept = [path for path in (yard.folder / "home").rglob("*") if path.is_file() and "inference" not in path.parts]
    texts += [path.read_bytes().decode(errors="replace") for path in kept]
    assert kept
    assert [] == [mark for mark in SIGNATURES for text in texts if f"{mark.rstrip('=')}=" in text]


@pytest.mark.parametrize("name", CLOUDS)
def test_the_whole_way_within_one_cloud(
    cloud_yard: Yard, request: pytest.FixtureRequest, name: str, clip: bytes
) -> None:
    """Source, results store and all four routes in buckets; a second run has nothing to do."""
    cloud = enter(name, request, cloud_yard.folder)
    videos = cloud.store(cloud.videos)
    videos.upload("street/bikes.mp4", sample_footage("bikes.mp4"), content_type="video/mp4")
    videos.write(STRANGE, clip)
    videos.write("street/notes.txt", b"no video")
    cloud_yard.environment |= cloud.environment
    if not cloud.keys:  # the results store is reached by what the SDK finds
        cloud_yard.environment["REELROUTE_RESULTS_URL"] = f"{cloud.out}kept"
    pipeline = write_pipeline(cloud_yard.folder, cloud, cloud)

    first = cloud_yard.reelroute("run", pipeline, "--json")

    assert 0 == first.code, first.stderr
    assert (2, 2, 2, 0) == tuple(first.json[key] for key in ("discovered", "submitted", "succeeded", "failed"))
    assert {"results": 2, "lightly": 2, "labelbox": 2, "video": 2} == first.json["delivered"]
    no_secret_in(cloud_yard, first)
    for video in ("street/bikes.mp4", STRANGE):
        assert {f"{video}.json.gz", f"{video}.parquet", "results.json"} <= keys(cloud, f"{cloud.out}results/")
        assert f"{video}.ndjson" in keys(cloud, f"{cloud.out}labelbox/")
        assert video in keys(cloud, f"{cloud.out}annotated/")
    results = cloud.store(f"{cloud.out}results/")
    found = json.loads(gzip.decompress(results.read("street/bikes.mp4.json.gz")))
    assert list(range(0, 250, 5)) == found["frame_offset"]
    tree = keys(cloud, f"{cloud.out}lightly/")
    assert 50 == len([key for key in tree if key.startswith(".lightly/predictions/yard/street/bikes-")])
    assert ".lightly/predictions/tasks.json" in tree
    kept = [key for key in keys(cloud, f"{cloud.out}kept/") if key.endswith(".json.gz")]
    assert (0 if cloud.keys else 2) == len(kept)

    second = cloud_yard.reelroute("run", pipeline, "--json")

    assert (0, 2, 0) == (second.code, second.json["skipped"], second.json["submitted"])


def test_two_clouds_in_one_pipeline(cloud_yard: Yard, request: pytest.FixtureRequest, clip: bytes) -> None:
    """Videos of two, predictions in a third; equal keys do not overwrite each other."""
    s3, gcs, azure = (enter(name, request, cloud_yard.folder) for name in CLOUDS)
    for cloud in (s3, gcs):
        cloud.store(cloud.videos).write("a.mp4", clip)
        cloud_yard.environment |= cloud.environment
    cloud_yard.environment |= azure.environment
    # Of the same last segment, so that the labels are numbered.
    pipeline = write_pipeline(cloud_yard.folder, azure, s3, gcs)

    ended = cloud_yard.reelroute("run", pipeline, "--json")

    assert (0, 2, 2) == (ended.code, ended.json["discovered"], ended.json["succeeded"]), ended.stderr
    assert {"in/a.mp4", "in-2/a.mp4"} == keys(azure, f"{azure.out}annotated/")
    no_secret_in(cloud_yard, ended)


def test_doctor_says_on_the_command_line_what_it_tried(
    cloud_yard: Yard, request: pytest.FixtureRequest, clip: bytes
) -> None:
    """All is well but for a route whose bucket is not there: exit code 2, and the rest is told as well."""
    cloud = enter("s3", request, cloud_yard.folder)
    cloud.store(cloud.videos).write("a.mp4", clip)
    cloud_yard.environment |= cloud.environment

    ended = cloud_yard.reelroute(
        "doctor", write_pipeline(cloud_yard.folder, cloud, cloud, out="s3://no-such-bucket/"), "--json"
    )

    assert (2, 2) == (ended.code, ended.json["exit_code"]), ended.stderr
    failed = {check["subject"]: check["code"] for check in ended.json["checks"] if check["status"] == "fail"}
    assert (
        dict.fromkeys([f"route {to}" for to in ("results", "lightly", "labelbox", "video")], "location_missing")
        == failed
    )
    assert "✗ route video: write: there is no bucket no-such-bucket (location_missing)" in ended.stderr
    assert not any(mark in ended.stdout + ended.stderr for mark in SIGNATURES)


def test_a_missing_bucket_is_told_on_the_command_line(cloud_yard: Yard, request: pytest.FixtureRequest) -> None:
    """With code, hint and exit code, before anything is submitted."""
    cloud = enter("azure", request, cloud_yard.folder)
    cloud_yard.environment |= cloud.environment

    ended = cloud_yard.reelroute(
        "run", write_pipeline(cloud_yard.folder, cloud, cloud, out="az://no-such-place/"), "--json"
    )

    assert (2, "location_missing") == (ended.code, ended.json["error"]["code"]), ended.stderr
    assert "no-such-place" in ended.json["error"]["message"]
    assert ended.json["error"]["hint"]


def test_a_prefix_without_videos_is_a_warning(cloud_yard: Yard, request: pytest.FixtureRequest) -> None:
    """There was nothing to do, and it is said."""
    cloud = enter("gcs", request, cloud_yard.folder)
    cloud_yard.environment |= cloud.environment

    ended = cloud_yard.reelroute("run", write_pipeline(cloud_yard.folder, cloud, cloud), "--json")

    assert (0, 0) == (ended.code, ended.json["discovered"]), ended.stderr
    assert [f"no videos in {cloud.videos}: it is empty"] == ended.json["warnings"]
