"""Discovery: what the sources hold now is in the ledger, once, under names that do not collide."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from config.load import load_pipeline
from tasks.discover import record_listing, source_labels
from tasks.domain.errors import LocationMissing
from tests.rig import Rig

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
    assert "1 left out" in found.warnings[0]


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
