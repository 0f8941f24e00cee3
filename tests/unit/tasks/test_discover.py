"""Discovery: what the sources hold now is in the ledger, once, under names that do not collide."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from config.load import load_pipeline
from tasks.choose import Plan
from tasks.discover import Listing, record_listing, source_labels
from tasks.domain.errors import LocationMissing
from tasks.dry_run import markdown as dry_run_markdown
from tasks.preview import preview
from tasks.report import Outcome, Standing, markdown, summarise
from tasks.stores import Stores
from tests.rig import NOON, Rig

TWO = """
name: two
sources:
  - uri: "{a}"
  - uri: "{b}"
inference: {{backend: local, model: oidv4/1}}
routes: [{{to: results, uri: out}}]
"""


def test_videos_are_planned_once_however_often_they_are_listed(rig: Rig) -> None:
    """The second listing of the same objects finds nothing new."""
    first, second = record_listing(rig.run()), record_listing(rig.run())

    assert (2, 2) == (first.videos, first.new)
    assert (2, 0) == (second.videos, second.new)


def test_a_changed_object_is_a_new_video(rig: Rig, clip: Path) -> None:
    """Identity is the version, not the name."""
    record_listing(rig.run())
    (rig.videos / "a.mp4").write_bytes(clip.read_bytes() + b"x")

    assert 1 == record_listing(rig.run()).new


def test_another_spec_is_another_job(rig: Rig) -> None:
    """The same video at another rate is inferred (and paid) for itself."""
    record_listing(rig.run())

    assert 2 == record_listing(rig.run(inference=", confidence: 0.9")).new


def test_names_are_keys_below_the_source(rig: Rig) -> None:
    """Routes name their outputs by these."""
    assert {"a.mp4", "sub/b.mp4"} == {job.video.name for job in rig.listed(rig.run())}


def test_an_empty_source_is_told(rig: Rig) -> None:
    """A nightly run over the wrong folder must not look like a quiet night."""
    shutil.rmtree(rig.videos)
    rig.videos.mkdir()
    (rig.videos / "notes.txt").write_text("x")
    found = record_listing(rig.run())

    assert 0 == found.videos
    assert 1 == len(found.warnings)
    assert "1 not taken: no video by its suffix" in found.warnings[0]


def test_a_missing_folder_ends_the_run(rig: Rig) -> None:
    """It is more likely a typing mistake, or a disk that is not mounted, than a quiet night."""
    shutil.rmtree(rig.videos)

    with pytest.raises(LocationMissing):
        record_listing(rig.run())


def test_two_sources_with_the_same_key_get_two_names(tmp_path: Path, rig: Rig) -> None:
    """Neither's outputs overwrite the other's."""
    for name in ("one/yard", "two/yard"):
        (tmp_path / name).mkdir(parents=True)
    path = tmp_path / "two.yaml"
    path.write_text(TWO.format(a=tmp_path / "one" / "yard", b=tmp_path / "two" / "yard"))

    assert ["yard/", "yard-2/"] == source_labels(load_pipeline(str(path)))


def test_only_recent_videos_are_taken_when_asked(rig: Rig) -> None:
    """`modified_within` counts back from the start of the run."""
    path = rig.pipeline_file()
    text = path.read_text().replace('videos"}]', 'videos", modified_within: 1h}]')
    assert "modified_within" in text
    pipeline_file = rig.pipeline_file

    def patched(**more: str) -> Path:
        written = pipeline_file(**more)
        written.write_text(written.read_text().replace('videos"}]', 'videos", modified_within: 1h}]'))
        return written

    rig.pipeline_file = patched  # type: ignore[method-assign]
    newest = max(path.stat().st_mtime for path in rig.videos.rglob("*.mp4"))
    rig.clock.now = rig.clock.now.fromtimestamp(newest, rig.clock.now.tzinfo)
    assert 2 == record_listing(rig.run()).videos
    rig.clock.now += timedelta(hours=2)

    assert 0 == record_listing(rig.run()).videos


def test_what_is_not_taken_is_counted_and_shown_everywhere(rig: Rig) -> None:
    """By reason: in the listing, in `plan` and its JSON, in the summary of a run and its report."""
    for name in ("._a.mp4", ".Trash-1000/b.mp4", "@eaDir/c.mp4", "d.mp4.part", "E.MKV", "notes.txt"):
        (rig.videos / name).parent.mkdir(exist_ok=True)
        (rig.videos / name).write_bytes(b"x")
    (rig.videos / "gone.mp4").symlink_to("nowhere")
    (rig.videos / "E.MKV").unlink()
    expected = {"hidden": 2, "system": 1, "unfinished": 1, "suffix": 1, "unreadable": 1}
    run = rig.run()

    found = record_listing(run)
    seen = preview(run.pipeline, run.spec, run.stores, run.ledger, run.clock(), run.settings)
    summary = summarise(run, found, Plan(), Outcome(), Standing())

    assert 2 == found.videos
    assert expected == found.not_taken == seen.not_taken == summary["not_taken"]
    assert expected == json.loads(json.dumps(seen.as_json("yard")))["not_taken"]
    for text in (markdown(summary), dry_run_markdown("yard", seen)):
        assert "| not taken: hidden, or in a hidden folder | 2 |" in text


def test_names_that_miss_an_include_by_their_case_are_told(tmp_path: Path, rig: Rig) -> None:
    """Cameras write capitals, people do not: a night without them must not look like a quiet night."""
    (rig.videos / "C.MP4").write_bytes(b"x")
    file = tmp_path / "two.yaml"
    two = TWO.format(a=rig.videos, b=tmp_path).replace(f'"{rig.videos}"', f'"{rig.videos}"\n    include: ["*.mp4"]')
    file.write_text(two.replace(f'- uri: "{tmp_path}"', f'- uri: "{tmp_path}"\n    include: ["videos/*.mp4"]'))
    pipeline = load_pipeline(str(file))
    listing = Listing(pipeline, Stores(pipeline), NOON)

    assert 1 == len(list(listing))  # of both sources, and one video
    assert 2 == listing.not_taken["case"]
    assert [f"1 file in {source.uri}" for source in pipeline.sources] == [
        w.partition(" not taken")[0] for w in listing.warnings
    ]
